// Package rig drives bundles through rtshield and through plain delegates, for the suites that have no engine.
package rig

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

// Debian is where Debian 12 puts its runc 1.1.5: the oldest that rtshield is tested with.
const Debian = "/usr/sbin/runc"

// Busybox is the static one of Debian's busybox-static: all that the containers run.
const Busybox = "/bin/busybox"

// Rig is one delegate with a policy file, a state root and a root file system of its own.
type Rig struct {
	testing.TB
	// Runc is the delegate; Rtshield the program under test.
	Runc, Rtshield string
	// Dir holds all that the test makes; Root is the delegate's state root in it.
	Dir, Root string
	Policy    testhost.PolicyFile
	// Env is added to that of every command.
	Env    []string
	rootfs string
	before snapshot.Host
	ids    []string // of containers that may be left
}

// EachRunc runs a test with the runc of the module and with Debian's. A missing one is a failure, not a skip.
func EachRunc(t *testing.T, test func(t *testing.T, runc string)) {
	t.Helper()
	t.Run("runc of the module", func(t *testing.T) { test(t, testhost.Runc(t)) })
	t.Run("runc of Debian", func(t *testing.T) {
		if _, err := os.Stat(Debian); err != nil {
			t.Fatalf("%v: `make setup` installs Debian's runc", err)
		}
		test(t, Debian)
	})
}

// Each is EachRunc with a rig under the default policy.
func Each(t *testing.T, test func(r *Rig)) {
	t.Helper()
	EachRunc(t, func(t *testing.T, runc string) { test(New(t, runc, testhost.Options{})) })
}

// EachWith is Each under another policy.
func EachWith(t *testing.T, options testhost.Options, test func(r *Rig)) {
	t.Helper()
	EachRunc(t, func(t *testing.T, runc string) { test(New(t, runc, options)) })
}

// New makes a rig. When the test ends, all containers of the rig are removed, and then the host must be as it was.
func New(t testing.TB, runc string, options testhost.Options) *Rig {
	t.Helper()
	if online, err := os.ReadFile("/sys/devices/system/cpu/online"); err != nil || string(online) != "0-1\n" {
		t.Skipf("these tests are written for a host of two CPUs, where CPU 1 is the whole shield; this one has %q, %v", online, err)
	}
	removeLeft(t)
	testhost.HostUnchanged(t)
	if err := adoptOrphans(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", dirName)
	if err != nil {
		t.Fatal(err)
	}
	if len(options.Delegates) == 0 {
		options.Delegates = []string{runc}
	}
	options.Dir = dir
	r := &Rig{
		TB: t, Runc: runc, Rtshield: testhost.Rtshield(t), Dir: dir,
		Root: filepath.Join(dir, "root"), rootfs: filepath.Join(dir, "rootfs"),
	}
	t.Cleanup(func() { r.tidy() })
	r.Policy = testhost.Policy(t, options)
	r.Env = []string{r.Policy.Env()}
	if _, err := os.Stat(Busybox); err != nil {
		t.Fatalf("%v: `make setup` installs busybox-static", err)
	}
	if err := bundle.RootFS(r.rootfs, Busybox, "bin/busybox", "bin/sh", "bin/sleep", "bin/cat", "bin/env", "bin/true"); err != nil {
		t.Fatal(err)
	}
	if err := makeCgroups(); err != nil {
		t.Fatal(err)
	}
	r.Begin()
	return r
}

// Begin takes what AsBefore compares with: once more after a test has made what it needs.
func (r *Rig) Begin() { r.before = snapshot.TakeHost() }

// adoptOrphans makes this process the parent of containers whose runtime has ended, as an engine's shim does. Under
// the host's own init a dead container may stay a zombie for seconds, and its cgroup counts for as long.
var adoptOrphans = sync.OnceValue(func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })

// tidy takes away what the test may have left, without asking whether it did: that is for assertions, and in the end
// for HostUnchanged.
func (r *Rig) tidy() {
	for _, id := range r.ids {
		r.runIn("", r.Runc, "--root", r.Root, "delete", "--force", id)
		killAll(CgroupParent + "/" + id)
	}
	if res := r.runIn("", r.Rtshield, "reconcile"); res.Code != 0 && !r.Failed() {
		r.Errorf("reconcile after the test: %s", res)
	}
	r.Restore()
	r.Eventual(removeCgroups)
	r.removeDir(r.Dir)
}

// Eventual waits for what the kernel does on its own time.
func (r *Rig) Eventual(try func() error) {
	r.Helper()
	testhost.Eventually(r, patience, try)
}

// Pointer is the link to the delegate that `create` leaves for a policy file with an unusual one.
func Pointer(policy string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(policy))
	return fmt.Sprintf("/run/rtshield/delegate-%016x", h.Sum64())
}

// Changed lists the settings of the host that are not as when the rig was made.
func (r *Rig) Changed() []string { return r.before.Changed() }

// AsBefore fails unless every setting of the host is as when the rig was made, and no ledger is left.
func (r *Rig) AsBefore(when string) {
	r.Helper()
	for _, line := range r.Changed() {
		r.Errorf("%s: %s", when, line)
	}
	if text, err := os.ReadFile(r.Policy.Ledger()); err == nil {
		r.Errorf("%s: there still is a ledger: %s", when, text)
	}
}

// Sleeper starts a process of the host that is in no container, and ends it with the test.
func (r *Rig) Sleeper() int {
	r.Helper()
	path := filepath.Join(r.Dir, "rt-sleeper") // a name that no exempt task has
	if _, err := os.Stat(path); err != nil {
		program, err := os.ReadFile(Busybox)
		if err != nil {
			r.Fatal(err)
		}
		if err := os.WriteFile(path, program, 0o755); err != nil {
			r.Fatal(err)
		}
	}
	cmd := &exec.Cmd{Path: path, Args: []string{"sleep", "60"}}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// Settled is AsBefore after a reconcile that may have something to do.
func (r *Rig) Settled(when string) {
	r.Helper()
	r.Must(r.Shield("reconcile"))
	r.AsBefore(when)
}
