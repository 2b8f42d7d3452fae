package rig

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/shield"
)

// Track notes an id whose container is to be removed after the test.
func (r *Rig) Track(id string) { r.ids = append(r.ids, id) }

// Create creates a container through rtshield and gives its first process.
func (r *Rig) Create(id, bundle string) int { r.Helper(); return r.begin("create", id, bundle) }

// Detach is `rtshield run -d`.
func (r *Rig) Detach(id, bundle string) int {
	r.Helper()
	return r.begin("run", id, bundle, "--detach")
}

func (r *Rig) begin(verb, id, bundle string, flags ...string) int {
	r.Helper()
	res, pid := r.TryBegin(verb, id, bundle, flags...)
	r.Must(res)
	return pid
}

// TryBegin is create or run with a pid file; the pid is 0 without one.
func (r *Rig) TryBegin(verb, id, bundle string, flags ...string) (Result, int) {
	r.Helper()
	r.Track(id)
	file := filepath.Join(r.Dir, "pid-"+id)
	_ = os.Remove(file)
	args := append([]string{verb, "--bundle", bundle, "--pid-file", file}, flags...)
	res := r.OCI(append(args, id)...)
	return res, r.Adopt(file)
}

// Adopt reads a pid file and waits for its process in the background: it is our child once its runtime has ended, and to
// reap it is what a shim does. The pid is 0 if the file says none.
func (r *Rig) Adopt(file string) int {
	var pid int
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		return 0
	}
	go func() {
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				return
			}
		}
	}()
	return pid
}

// End kills a container and deletes it through rtshield.
func (r *Rig) End(id string) {
	r.Helper()
	r.Stop(id)
	r.Must(r.OCI("delete", id))
}

// Stop kills a container's first process and waits until it is gone.
func (r *Rig) Stop(id string) {
	r.Helper()
	pid := r.State(id).Pid
	r.Must(r.OCI("kill", id, "KILL"))
	r.Eventual(func() error {
		if status := r.Status(id); status != "stopped" {
			return fmt.Errorf("container %s is %q after kill", id, status)
		}
		// Reaped too: runc 1.1 leaves the cgroup of a zombie behind without a word.
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); pid > 0 && err == nil {
			return fmt.Errorf("container %s: pid %d is still there after kill", id, pid)
		}
		return nil
	})
}

// Status is the state that the runtime tells of a container, "" without one.
func (r *Rig) Status(id string) string {
	r.Helper()
	return r.State(id).Status
}

// State is what the runtime tells of a container; the zero State without one.
type State struct {
	Status string
	Pid    int
}

// State asks the delegate for it: through rtshield the question releases what has ended.
func (r *Rig) State(id string) State {
	r.Helper()
	var state State
	if res := r.Plain("state", id); res.Code == 0 {
		if err := json.Unmarshal([]byte(res.Stdout), &state); err != nil {
			r.Fatalf("%v in %s", err, res)
		}
	}
	return state
}

// Gone fails if the delegate still knows any container.
func (r *Rig) Gone(when string) {
	r.Helper()
	if ids := strings.Fields(r.Must(r.Plain("list", "-q")).Stdout); len(ids) > 0 {
		r.Errorf("%s: %s still has %q", when, r.Runc, ids)
	}
}

// Ledger reads the ledger, nil without one.
func (r *Rig) Ledger() *shield.Ledger {
	r.Helper()
	data, err := os.ReadFile(r.Policy.Ledger())
	if os.IsNotExist(err) {
		return nil
	}
	ledger := &shield.Ledger{}
	if err == nil {
		err = json.Unmarshal(data, ledger)
	}
	if err != nil {
		r.Fatal(err)
	}
	return ledger
}

// Grant finds a container's grant, which must be there.
func (r *Rig) Grant(id string) shield.Grant {
	r.Helper()
	if ledger := r.Ledger(); ledger != nil {
		if i := slices.IndexFunc(ledger.Grants, func(g shield.Grant) bool { return g.ID == id && g.Root == r.Root }); i >= 0 {
			return ledger.Grants[i]
		}
	}
	r.Fatalf("no grant for %s in the ledger: %+v", id, r.Ledger())
	return shield.Grant{}
}
