package crash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// crash is a rig with one bundle that is killed over and over.
type crash struct {
	*rig.Rig
	bundle string
}

// id is the container that is in the middle when the kill comes.
const id = "killed"

// newCrash makes a bundle whose container prints its CPUs. Its cgroup has two ancestors with budgets.
func newCrash(r *rig.Rig) *crash {
	r.Track(id)
	return &crash{Rig: r, bundle: r.Bundle(id, rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo CPU $RTSHIELD_CPUS"))}
}

// stage is one program with a place where it is killed.
type stage struct {
	name string
	// least is how many calls the test must find: fewer mean that it has gone blind.
	least int
	// prepare brings the host to where the stage begins; nil for a host at rest.
	prepare func(*crash)
	// play runs the program with a kill.
	play func(c *crash, k kill) report
}

var stages = []stage{
	{"create as the first ever", 20, (*crash).firstEver, func(c *crash, k kill) report { return c.traced(k, c.createArgs()...) }},
	{"create of a bundle that ran and was edited", 18, (*crash).edited, func(c *crash, k kill) report { return c.traced(k, c.createArgs()...) }},
	{"hook createRuntime", 40, nil, (*crash).killInCreateRuntime},
	{"hook poststop", 35, nil, (*crash).killInPoststop},
	{"delete", 35, (*crash).stoppedWithoutHook, func(c *crash, k kill) report { return c.traced(k, "--root", c.Root, "delete", id) }},
	{"reconcile", 35, (*crash).goneWithoutHook, func(c *crash, k kill) report { return c.traced(k, "reconcile") }},
}

func (c *crash) createArgs() []string {
	return []string{"--root", c.Root, "create", "--bundle", c.bundle, "--pid-file", c.pidFile(), id}
}

func (c *crash) pidFile() string { return filepath.Join(c.Dir, "pid") }

func (c *crash) reportFile() string { return filepath.Join(c.Dir, "report.json") }

// traced runs rtshield under the tracer, which the delegate leaves by its execve.
func (c *crash) traced(k kill, args ...string) report {
	c.Helper()
	_ = os.Remove(c.pidFile())
	res := c.Program(c.self(), slices.Concat([]string{"trace"}, k.args(), []string{c.reportFile(), c.Rtshield}, args)...)
	c.Adopt(c.pidFile())
	report := c.report()
	if report.Killed != (res.Code == 128+9) || !report.Killed && res.Code != 0 {
		c.Fatalf("kill before %v: %s", k, res)
	}
	return report
}

func (c *crash) self() string {
	c.Helper()
	self, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	return self
}

// report reads what the tracer left, once.
func (c *crash) report() report {
	c.Helper()
	var result report
	data, err := os.ReadFile(c.reportFile())
	if err == nil {
		err = json.Unmarshal(data, &result)
	}
	if err != nil {
		c.Fatalf("the tracer did not run: %v", err)
	}
	_ = os.Remove(c.reportFile())
	return result
}

// firstEver takes away what rtshield has left: in the bundle, and of its own.
func (c *crash) firstEver() {
	c.Helper()
	for _, path := range []string{c.bundle, c.Policy.State, rig.Pointer(c.Policy.Path)} {
		if err := os.RemoveAll(path); err != nil {
			c.Fatal(err)
		}
	}
	c.bundle = newCrash(c.Rig).bundle
}

// edited is a user's edit, so that both rtshield's old edits and its new ones have to be written.
func (c *crash) edited() {
	c.Helper()
	c.Change(c.bundle, func(s *specs.Spec) {
		s.Hostname += "x"
		s.Linux.Resources.CPU.Cpus = ""
	})
}

// throughDelegate creates the container with a delegate that has the tracer around a hook.
func (c *crash) throughDelegate(when string, k kill) rig.Result {
	c.Helper()
	_ = os.Remove(c.pidFile())
	program := filepath.Join(c.Dir, "delegate")
	text := fmt.Sprintf("#!/bin/sh\nexec %s delegate %s %d '%s' %s %s \"$@\"\n", c.self(), when, k.nth, k.kind, c.reportFile(), c.Runc)
	// A second policy file that shares the ledger's directory, so that the first keeps its plain delegate.
	policy := filepath.Join(c.Dir, "traced.toml")
	toml := fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n", program, c.Policy.State)
	for path, text := range map[string]string{program: text, policy: toml} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			c.Fatal(err)
		}
	}
	with := *c.Rig
	with.Env = []string{"RTSHIELD_CONFIG=" + policy}
	res := with.Shield(c.createArgs()...)
	c.Adopt(c.pidFile())
	return res
}

func (c *crash) killInCreateRuntime(k kill) report {
	c.Helper()
	res := c.throughDelegate("createRuntime", k)
	report := c.report()
	if report.Killed == (res.Code == 0) {
		c.Errorf("createRuntime was killed: %v, but create: %s", report.Killed, res)
	}
	return report
}

func (c *crash) killInPoststop(k kill) report {
	c.Helper()
	c.Must(c.throughDelegate("poststop", k))
	c.Stop(id)
	c.Plain("delete", id) // runc 1.1 and 1.5 differ in what a failed poststop hook means to them
	return c.report()
}

// stoppedWithoutHook has a container that has ended and whose runtime knows of no poststop hook of ours.
func (c *crash) stoppedWithoutHook() {
	c.Helper()
	c.Must(c.throughDelegate("createRuntime", kill{}))
	c.report()
	c.Stop(id)
}

func (c *crash) goneWithoutHook() {
	c.Helper()
	c.stoppedWithoutHook()
	c.Must(c.Plain("delete", id))
}
