package crash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/internal/shield"
)

// crash is a rig with one bundle that goes wrong over and over.
type crash struct {
	*rig.Rig
	bundle string
	// ordinary is the bundle of a container without a class.
	ordinary string
	// edits are those of bundle.
	edits []rig.Edit
	// granted is what the container has when nothing goes wrong.
	granted shield.Grant
}

// id is the container that is in the middle when the blow comes, neighbour one beside it.
const (
	id        = "killed"
	neighbour = "neighbour"
)

// newCrash makes a bundle whose container prints its CPUs. Its cgroup has two ancestors with budgets.
func newCrash(r *rig.Rig, edits ...rig.Edit) *crash {
	r.Track(id)
	r.Track(neighbour)
	edits = append([]rig.Edit{rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo CPU $RTSHIELD_CPUS")}, edits...)
	return &crash{Rig: r, edits: edits, bundle: r.Bundle(id, edits...), ordinary: r.Bundle(neighbour)}
}

// reserving is a class whose containers have huge pages reserved, and aPage the annotation that asks for one.
const reserving = "[class.fifo]\nhugepages = \"reserve\"\nmax_hugepages = \"2Mi=1\"\n"

var aPage = rig.Annotate("hugepages", "2Mi=1")

// stage is one program with a place where it is hit.
type stage struct {
	name string
	// least is how many calls that change something the test must find: fewer mean that it has gone blind.
	least int
	// prepare brings the host to where the stage begins; nil for a host at rest.
	prepare func(*crash)
	// play runs the program with a blow.
	play func(c *crash, b blow) (report, rig.Result)
	// always tells what is wrong however the program ended, whole what is wrong after a success. Nil for nothing to ask.
	always, whole func(*crash) error
	// onlyFaults: kills there are as in another stage.
	onlyFaults bool
	// onlyKills: it changes nothing for anybody, and most of what it looks at it can do without.
	onlyKills bool
	// quiet: the program succeeds whatever happens, because the container is gone, and says on stderr what is left to do.
	quiet bool
}

var stages = []stage{
	{
		name: "create as the first ever", least: 20, prepare: (*crash).firstEver, play: (*crash).create, whole: (*crash).isShielded,
	},
	{
		name: "create of a bundle that ran and was edited", least: 18, prepare: (*crash).edited, play: (*crash).create, whole: (*crash).isShielded,
	},
	{name: "hook createRuntime", least: 40, play: (*crash).inCreateRuntime, whole: (*crash).isShielded},
	{name: "hook poststop", least: 35, play: (*crash).inPoststop, whole: (*crash).isOver, quiet: true},
	{
		name: "delete", least: 35, prepare: (*crash).stoppedWithoutHook, whole: (*crash).isOver, quiet: true,
		play: func(c *crash, b blow) (report, rig.Result) { return c.traced(b, "--root", c.Root, "delete", id) },
	},
	{
		name: "state of a container that has ended", least: 35, onlyFaults: true, prepare: (*crash).stoppedWithoutHook, whole: (*crash).isReleasedOrNoted,
		play: func(c *crash, b blow) (report, rig.Result) { return c.traced(b, "--root", c.Root, "state", id) },
	},
	{
		name: "reconcile", least: 35, prepare: (*crash).goneWithoutHook, whole: (*crash).isOverOrAlive,
		play: func(c *crash, b blow) (report, rig.Result) { return c.traced(b, "reconcile") },
	},
	{
		name: "reconcile beside a running container", least: 5, onlyFaults: true, prepare: (*crash).disturbed, always: (*crash).staysShielded, whole: (*crash).isShielded,
		play: func(c *crash, b blow) (report, rig.Result) { return c.traced(b, "reconcile") },
	},
	{
		name: "update of a shielded container", least: 1, prepare: (*crash).created, always: (*crash).staysShielded, whole: (*crash).hasMemory,
		play: func(c *crash, b blow) (report, rig.Result) {
			return c.traced(b, "--root", c.Root, "update", "--resources", c.resources(), id)
		},
	},
	{
		name: "update of an ordinary container", least: 5, prepare: (*crash).createdBoth, always: (*crash).keptApart, whole: (*crash).widens,
		play: func(c *crash, b blow) (report, rig.Result) {
			return c.traced(b, "--root", c.Root, "update", "--cpuset-cpus", "0-1", neighbour)
		},
	},
	{
		name: "check", least: 10, onlyKills: true,
		play: func(c *crash, b blow) (report, rig.Result) { return c.traced(b, "check", "--json") },
	},
}

func (c *crash) createArgs() []string {
	return []string{"--root", c.Root, "create", "--bundle", c.bundle, "--pid-file", c.pidFile(), id}
}

func (c *crash) pidFile() string { return filepath.Join(c.Dir, "pid") }

func (c *crash) reportFile() string { return filepath.Join(c.Dir, "report.json") }

// traced runs rtshield under the tracer, which the delegate leaves by its execve.
func (c *crash) traced(b blow, args ...string) (report, rig.Result) {
	c.Helper()
	res := c.Program(c.self(), slices.Concat([]string{"trace"}, b.args(), []string{c.reportFile(), c.Rtshield}, args)...)
	return c.report(), res
}

func (c *crash) create(b blow) (report, rig.Result) {
	c.Helper()
	_ = os.Remove(c.pidFile())
	report, res := c.traced(b, c.createArgs()...)
	c.Adopt(c.pidFile())
	return report, res
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
	c.bundle = c.Bundle(id, c.edits...)
}

// edited is a user's edit, so that both rtshield's old edits and its new ones have to be written.
func (c *crash) edited() {
	c.Helper()
	c.Change(c.bundle, func(s *specs.Spec) {
		s.Hostname += "x"
		rig.CPUs("")(s)
	})
}

// throughDelegate creates the container with a delegate that has the tracer around a hook.
func (c *crash) throughDelegate(when string, b blow) rig.Result {
	c.Helper()
	_ = os.Remove(c.pidFile())
	program := filepath.Join(c.Dir, "delegate")
	text := fmt.Sprintf("#!/bin/sh\nexec %s delegate %s %d '%s' '%s' %s %s \"$@\"\n", c.self(), when, b.nth, b.how, b.kind, c.reportFile(), c.Runc)
	// A second policy file that shares the ledger's directory, so that the first keeps its plain delegate.
	policy := filepath.Join(c.Dir, "traced.toml")
	toml := fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n%s", program, c.Policy.State, reserving)
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

func (c *crash) inCreateRuntime(b blow) (report, rig.Result) {
	c.Helper()
	res := c.throughDelegate("createRuntime", b)
	return c.report(), res
}

func (c *crash) inPoststop(b blow) (report, rig.Result) {
	c.Helper()
	c.Must(c.throughDelegate("poststop", b))
	c.Stop(id)
	res := c.Plain("delete", id) // runc 1.1 and 1.5 differ in what a failed poststop hook means to them
	return c.report(), res
}

// stoppedWithoutHook has a container that has ended and whose runtime knows of no poststop hook of ours.
func (c *crash) stoppedWithoutHook() {
	c.Helper()
	c.Must(c.throughDelegate("createRuntime", blow{}))
	c.report()
	c.Stop(id)
}

func (c *crash) goneWithoutHook() {
	c.Helper()
	c.stoppedWithoutHook()
	c.Must(c.Plain("delete", id))
}

// created has a shielded container, which is granted what no blow has touched.
func (c *crash) created() {
	c.Helper()
	_ = os.Remove(c.pidFile())
	c.Must(c.Shield(c.createArgs()...))
	c.Adopt(c.pidFile())
}

// disturbed is a shielded container beside which somebody brings new interrupts back to its CPU.
func (c *crash) disturbed() {
	c.Helper()
	c.created()
	if err := os.WriteFile("/proc/irq/default_smp_affinity", []byte("3\n"), 0); err != nil {
		c.Fatal(err)
	}
}

// createdBoth has an ordinary container beside a shielded one.
func (c *crash) createdBoth() {
	c.Helper()
	c.created()
	file := filepath.Join(c.Dir, "pid-"+neighbour)
	c.Must(c.OCI("create", "--bundle", c.ordinary, "--pid-file", file, neighbour))
	c.Adopt(file)
}

// memory is what the update asks for.
const memory = 64 << 20

func (c *crash) resources() string {
	c.Helper()
	path := filepath.Join(c.Dir, "resources.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"memory":{"limit":%d}}`, memory), 0o600); err != nil {
		c.Fatal(err)
	}
	return path
}

// hangingHook is a user's, which leaves a file and never comes back.
func hangingHook(mark string) rig.Edit {
	return func(s *specs.Spec) {
		if s.Hooks == nil {
			s.Hooks = &specs.Hooks{}
		}
		s.Hooks.CreateContainer = append(s.Hooks.CreateContainer, specs.Hook{
			Path: "/bin/sh", Args: []string{"sh", "-c", ": >" + mark + "; exec " + rig.Busybox + " sleep 60"},
		})
	}
}
