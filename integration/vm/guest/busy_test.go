//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/hog"
	"github.com/rtshield/rtshield/integration/snapshot"
)

// loop is the program of integration/hog.
const loop = "/usr/local/bin/loop"

// A loop that may use a CPU takes all of it, so that the bounds are far apart. What kernel threads of an idle CPU take seems
// more, up to 8 %, when the emulated CPU itself has to wait; but they run no user code.
const (
	window     = 2 * time.Second
	noUser     = 0.05
	kernelsOwn = 0.25
	much       = 0.4
)

// crowd is a pack of loops in cgroups of every kind.
type crowd struct {
	*hog.Pack
	r      *rig
	before snapshot.Host
	dirs   []string // cgroups made for it, outermost first
}

// newCrowd starts more loops than there are CPUs: in the root, in a cgroup beside the containers' one, in a nested one, in
// one right beside the containers, and in a container of plain runc.
func newCrowd(r *rig) *crowd {
	r.Helper()
	pack, err := hog.New(r.dir+"/hog", loop)
	if err != nil {
		r.Fatal(err)
	}
	c := &crowd{Pack: pack, r: r}
	r.Cleanup(c.away) // before the rig compares
	for _, dir := range []string{"/busy", "/outer", "/outer/inner", "/late", parent + "/beside"} {
		c.mkdir(dir)
	}
	c.start("root", hog.Plain, "")
	c.start("root, forking", hog.Forking, "")
	for _, dir := range []string{"/busy", "/outer/inner", parent + "/beside"} {
		c.start(dir+", plain", hog.Plain, dir)
		c.start(dir+", stubborn", hog.Stubborn, dir)
		c.start(dir+", forking", hog.Forking, dir)
	}
	c.container("before", parent)
	c.Spin() // the stubborn ones have their affinity from then on
	r.eventually(func() error {
		if idle := c.Idle(); len(idle) > 0 {
			return fmt.Errorf("these loops do not run: %q", idle)
		}
		return nil
	})
	c.Rest()
	c.before = snapshot.TakeHost()
	return c
}

func (c *crowd) mkdir(dir string) {
	c.r.Helper()
	for _, hierarchy := range hierarchies() {
		if err := os.Mkdir(hierarchy+dir, 0o755); err != nil {
			c.r.Fatal(err)
		}
		c.dirs = append(c.dirs, hierarchy+dir)
	}
	if !unified() {
		if err := inherit(cpusetMount() + dir); err != nil {
			c.r.Fatal(err)
		}
	}
}

func (c *crowd) start(name, mode, dir string) int {
	c.r.Helper()
	pid, err := c.Start(name, mode, cpusetMount()+dir)
	if err != nil {
		c.r.Fatal(err)
	}
	return pid
}

// container runs a loop in a container of plain runc, of which rtshield knows nothing.
func (c *crowd) container(id, below string) {
	c.r.Helper()
	dir := c.r.bundle(id, args(c.Args("container "+id, hog.Stubborn)...), func(s *specs.Spec) {
		s.Linux.CgroupsPath = below + "/" + id
		s.Process.Env = append(s.Process.Env, "GOMAXPROCS=1")
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/hog", Type: "bind", Source: c.Dir, Options: []string{"bind", "rw"}})
	})
	c.r.must(c.r.program(c.r.delegate.path, "--root", c.r.root, "run", "--detach", "--bundle", dir, id))
	c.r.ids = append(c.r.ids, id)
}

// away ends all loops and removes their cgroups.
func (c *crowd) away() {
	c.End()
	for _, id := range []string{"before", "after", "neighbour"} {
		if _, err := os.Stat(c.r.root + "/" + id); err == nil {
			c.r.must(c.r.program(c.r.delegate.path, "--root", c.r.root, "delete", "--force", id))
		}
	}
	for i := len(c.dirs) - 1; i >= 0; i-- {
		c.r.eventually(func() error { return os.Remove(c.dirs[i]) })
	}
}

// usage lets the loops spin for a window, does something in the middle of it, and gives the share of it that each CPU
// spent on tasks.
func (c *crowd) usage(meanwhile func()) map[int]share {
	c.r.Helper()
	c.Spin()
	time.Sleep(window / 4) // whoever was on a CPU when the shield came is gone
	first, begun := runTimes(c.r), time.Now()
	time.Sleep(window / 4)
	meanwhile()
	time.Sleep(window)
	second, took := runTimes(c.r), time.Since(begun)
	c.r.eventually(func() error {
		if idle := c.Idle(); len(idle) > 0 {
			return fmt.Errorf("these loops have not run, so they prove nothing: %q", idle)
		}
		return nil
	})
	c.Rest()
	usage := map[int]share{}
	for cpu, was := range first {
		now := second[cpu]
		usage[cpu] = share{(now.tasks - was.tasks).Seconds() / took.Seconds(), (now.user - was.user).Seconds() / took.Seconds()}
	}
	return usage
}

// keptOff fails if any loop was on one of these CPUs, or if these did anything worth mentioning.
func (c *crowd) keptOff(when string, held cpuset.CPUSet, meanwhile func()) {
	c.r.Helper()
	usage := c.usage(meanwhile)
	for _, cpu := range held.List() {
		if usage[cpu].tasks > kernelsOwn || usage[cpu].user > noUser {
			c.r.Errorf("%s: CPU %d spent %s on tasks, though its container sleeps", when, cpu, usage[cpu])
		}
	}
	for _, line := range c.On(held) {
		c.r.Errorf("%s: held is %s, and a loop ran there: %s", when, held, line)
	}
	c.r.Logf("$ %s: share of each CPU %s", when, percent(usage))
}

// let fails unless the loops took these CPUs for themselves.
func (c *crowd) let(when string, cpus cpuset.CPUSet) {
	c.r.Helper()
	usage := c.usage(func() {})
	for _, cpu := range cpus.List() {
		if usage[cpu].tasks < much {
			c.r.Errorf("%s: CPU %d spent only %s on the loops", when, cpu, usage[cpu])
		}
	}
	if missing := cpus.Difference(c.All()); !missing.IsEmpty() {
		c.r.Errorf("%s: no loop ran on CPU %s", when, missing)
	}
	c.r.Logf("$ %s: share of each CPU %s", when, percent(usage))
}

// share is what a CPU spent of a window on tasks, as of their last switch, and on user code, as of its ticks.
type share struct{ tasks, user float64 }

func (s share) String() string { return fmt.Sprintf("%.1f%% (user %.0f%%)", 100*s.tasks, 100*s.user) }

func percent(usage map[int]share) string {
	var words []string
	for cpu := range len(usage) {
		words = append(words, fmt.Sprintf("%d: %s", cpu, usage[cpu]))
	}
	return strings.Join(words, ", ")
}

// spent is the same in sum, since the boot.
type spent struct{ tasks, user time.Duration }

func runTimes(t testing.TB) map[int]spent {
	t.Helper()
	times := map[int]spent{}
	for line := range strings.Lines(text(t, "/proc/schedstat")) {
		// cpuN and nine numbers, of which the seventh is the time that tasks ran, in ns (Documentation/scheduler/
		// sched-stats.rst).
		fields := strings.Fields(line)
		if cpu, found := strings.CutPrefix(fields[0], "cpu"); found && len(fields) >= 10 {
			times[number(t, cpu)] = spent{tasks: time.Duration(number(t, fields[7]))}
		}
	}
	for line := range strings.Lines(text(t, "/proc/stat")) {
		fields := strings.Fields(line)
		if cpu, found := strings.CutPrefix(fields[0], "cpu"); found && cpu != "" {
			one := times[number(t, cpu)]
			one.user = time.Duration(number(t, fields[1])+number(t, fields[2])) * 10 * time.Millisecond // USER_HZ is 100
			times[number(t, cpu)] = one
		}
	}
	return times
}

func number(t testing.TB, word string) int {
	t.Helper()
	n, err := strconv.Atoi(word)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestABusyLoopGetsNoTimeOnGrantedCPUs(t *testing.T) {
	onRunc(t, func(r *rig) {
		c := newCrowd(r)
		online := topology(r).Online
		if !isolated(r) { // to isolcpus= no loop comes of itself
			c.let("before", online)
		}
		r.begin("run", "one", class("fifo"))
		r.begin("run", "two", class("rr"), annotate("cpus", map[bool]string{false: "2", true: "1"}[isolated(r)]))
		one, two := r.grant("one"), r.grant("two")
		held := one.CPUs.Union(one.Idle.CPUSet).Union(two.CPUs.CPUSet).Union(two.Idle.CPUSet)
		c.container("after", "/late")
		if one.Level == "partition" {
			c.container("neighbour", parent)
		}
		c.keptOff("while it sleeps", held, func() {
			c.start("started meanwhile", hog.Forking, "/busy")
			moving := c.start("moved meanwhile", hog.Stubborn, "/busy")
			r.moves(moving, "/outer/inner")
			if one.Level == "partition" { // at level cpuset a task that is moved to the root needs a reconcile
				r.moves(moving, "")
			}
		})

		c.sabotage(one.CPUs.String(), one.Level)
		r.eventually(func() error { // a loaded emulator takes its time to balance
			if c.usage(func() {}); len(c.On(one.CPUs.CPUSet)) == 0 {
				return fmt.Errorf("without its shield no loop came to CPU %s: this test sees nothing", one.CPUs)
			}
			return nil
		})
		r.must(r.command("reconcile"))
		c.keptOff("after reconcile", held, func() {})

		r.end("one")
		r.end("two")
		c.unchanged("after the last delete")
		if !isolated(r) {
			c.let("afterwards", online)
		}
	})
}

func (r *rig) moves(pid int, dir string) {
	r.Helper()
	if err := hog.Move(pid, cpusetMount()+dir); err != nil {
		r.Fatal(err)
	}
}

// sabotage takes the shield of the container "one" away.
func (c *crowd) sabotage(cpus, level string) {
	c.r.Helper()
	file, value := cpusetMount()+"/busy/cpuset.cpus", topology(c.r).Online.String()
	if level == "partition" {
		file, value = filepath.Join(cpusetMount()+parent, "one", "cpuset.cpus.partition"), "member"
	}
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		c.r.Fatal(err)
	}
	if isolated(c.r) { // no loop comes of itself
		pinned := exec.Command("/bin/taskset", "-p", "-c", cpus, strconv.Itoa(c.start("pinned", hog.Plain, "/busy")))
		if out, err := pinned.CombinedOutput(); err != nil {
			c.r.Fatalf("%v: %s", err, out)
		}
	}
}

// unchanged fails unless every setting is as when the crowd was there and no shield, but for what containers of plain
// runc brought since.
func (c *crowd) unchanged(when string) {
	c.r.Helper()
	full := fmt.Sprintf(`cpuset.cpus: was "", is %q`, topology(c.r).Online)
	for _, line := range c.before.Changed() {
		if strings.HasSuffix(line, full) && c.r.cannotEmpty() != nil {
			c.r.Logf("limit: cpuset.cpus of a cgroup that has processes is %s afterwards and not empty as before: %v", topology(c.r).Online, unix.ENOSPC)
			continue
		}
		if !ofItself(line) && !strings.Contains(line, "/late/") && !strings.Contains(line, parent+"/neighbour/") {
			c.r.Errorf("%s: %s", when, line)
		}
	}
}
