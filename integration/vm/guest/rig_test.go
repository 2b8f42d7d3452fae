//go:build vmguest

package guest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// patience bounds every wait: an emulated CPU is slow.
const patience = 40 * time.Second

// rig is one delegate with a policy file, a state root and a ledger of its own.
type rig struct {
	testing.TB
	delegate          runtime
	dir, root, ledger string
	env               []string
	before            snapshot.Host
	gone              map[string]chan struct{} // closed once the container's first process has been reaped
	ids               []string
}

var rigs int

// newRig makes a rig. When the test ends its containers are removed, and then every setting must be as it was.
func newRig(t testing.TB, delegate runtime) *rig {
	t.Helper()
	rigs++
	dir := fmt.Sprintf("/run/rig%d", rigs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &rig{
		TB: t, delegate: delegate, dir: dir, root: dir + "/root", ledger: dir + "/state/ledger.json",
		env: []string{"RTSHIELD_CONFIG=" + dir + "/config.toml"}, gone: map[string]chan struct{}{},
	}
	policy := fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n", delegate.path, dir+"/state")
	if err := os.WriteFile(dir+"/config.toml", []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	r.before = snapshot.TakeHost()
	t.Cleanup(r.tidy)
	return r
}

// tidy ends by asking the question of every test: is all as it was?
func (r *rig) tidy() {
	for _, id := range r.ids {
		_, known := os.Stat(r.root + "/" + id)
		_, held := os.Stat(r.ledger)
		if known == nil || held == nil { // as an engine does, also for one that was never created
			r.oci("delete", "--force", id)
		}
		killCgroup(id)
	}
	r.asBefore("after the test")
	_ = os.RemoveAll(r.dir)
}

// asBefore fails unless every setting is as when the rig was made, and the ledger is gone.
func (r *rig) asBefore(when string) {
	r.Helper()
	for _, line := range r.before.Changed() {
		if !ofItself(line) {
			r.Errorf("%s: %s", when, line)
		}
	}
	if data, err := os.ReadFile(r.ledger); err == nil {
		r.Errorf("%s: there still is a ledger: %s", when, strings.Join(strings.Fields(string(data)), " "))
	}
}

// said is what one command said.
type said struct {
	args        []string
	out, stderr string
	code        int
}

func (s said) String() string {
	return fmt.Sprintf("%s: status %d; stdout %q; stderr %q", strings.Join(s.args, " "), s.code, s.out, s.stderr)
}

// oci runs rtshield below the rig's root.
func (r *rig) oci(args ...string) said {
	r.Helper()
	return r.command(append([]string{"--root", r.root}, args...)...)
}

// command runs rtshield.
func (r *rig) command(args ...string) said {
	r.Helper()
	return r.program(rtshield, args...)
}

// program runs any program. It gets files and no pipes: a container keeps them open.
func (r *rig) program(path string, args ...string) said {
	r.Helper()
	return r.within(patience, path, args...)
}

func (r *rig) within(limit time.Duration, path string, args ...string) said {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), r.env...)
	var files [2]*os.File
	for i := range files {
		file, err := os.CreateTemp(r.dir, "out-")
		if err != nil {
			r.Fatal(err)
		}
		defer file.Close()
		defer os.Remove(file.Name())
		files[i] = file
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	begun, stop := time.Now(), watch(r, strings.Join(args, " "))
	err := cmd.Start() // from this thread, whose affinity it inherits
	if err == nil {
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err = <-ended:
		case <-time.After(limit + patience):
			// The rest would only wait as well: the next VM takes it up.
			panic(fmt.Sprintf("%v: killed %v ago, and the kernel holds it (the console says where)", args, patience))
		}
	}
	stop()
	r.Logf("$ %s %s (%v)", filepath.Base(path), strings.Join(args, " "), time.Since(begun).Round(10*time.Millisecond))
	result := said{args: args, out: text(r, files[0].Name()), stderr: text(r, files[1].Name())}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		result.code = exit.ExitCode()
	case err != nil:
		result.code, result.stderr = -1, err.Error()
	}
	return result
}

// must fails the test unless the command succeeded.
func (r *rig) must(s said) said {
	r.Helper()
	if s.code != 0 {
		r.Fatal(s)
	}
	return s
}

// begin is `rtshield run -d` or create, and gives the container's first process.
func (r *rig) begin(verb, id string, edits ...edit) int {
	r.Helper()
	_ = os.Remove(r.hookErrors())
	pid, result := r.try(verb, id, r.bundle(id, edits...))
	if said, err := os.ReadFile(r.hookErrors()); err == nil && result.code != 0 {
		r.Logf("a hook said: %s", said)
	}
	r.must(result)
	return pid
}

func (r *rig) hookErrors() string { return r.dir + "/hook-errors" }

func (r *rig) try(verb, id, bundle string, more ...string) (int, said) {
	r.Helper()
	r.ids = append(r.ids, id)
	file := filepath.Join(r.dir, "pid-"+id)
	_ = os.Remove(file)
	args := []string{verb, "--bundle", bundle, "--pid-file", file}
	if verb == "run" {
		args = append(args, "--detach")
	}
	result := r.oci(append(append(args, more...), id)...)
	data, err := os.ReadFile(file)
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || convErr != nil {
		return 0, result
	}
	r.reap(id, pid)
	return pid, result
}

// reap waits for a container's first process, which is our child.
func (r *rig) reap(id string, pid int) {
	gone := make(chan struct{})
	r.gone[id] = gone
	go func() {
		defer close(gone)
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				return
			}
		}
	}()
}

// end kills a container, waits until it is gone, and deletes it.
func (r *rig) end(id string) {
	r.Helper()
	r.must(r.oci("kill", id, "KILL"))
	select {
	case <-r.gone[id]:
	case <-time.After(patience):
		r.Fatalf("container %s did not end when killed", id)
	}
	r.must(r.oci("delete", id))
}

func kill(pid string) {
	if number, err := strconv.Atoi(pid); err == nil && number > 1 {
		_ = unix.Kill(number, unix.SIGKILL)
	}
}

// eventually waits for what becomes true on its own.
func (r *rig) eventually(try func() error) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
