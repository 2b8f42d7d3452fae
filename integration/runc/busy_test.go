package runc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/hog"
	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

// spinning is how long loops spin for each proof: they take the CPUs of a machine that others use too.
const spinning = 600 * time.Millisecond

// crowd is a pack of loops in cpusets of every kind, with one cpuacct cgroup for all.
type crowd struct {
	*hog.Pack
	r       *rig.Rig
	account string
}

func newCrowd(r *rig.Rig) *crowd {
	r.Helper()
	pack, err := hog.New(filepath.Join(r.Dir, "hog"), testhost.Loop(r))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(pack.End)
	c := &crowd{Pack: pack, r: r, account: rig.Cgroup("cpuacct", "/rtshield-test/loops", "")}
	if err := os.MkdirAll(c.account, 0o755); err != nil {
		r.Fatal(err)
	}
	for _, dir := range []string{"busy", "outer", "outer/inner", "late", "a/beside"} {
		rig.MakeCpuset(r, "/rtshield-test/"+dir)
	}
	c.start("root", hog.Plain, "/")
	c.start("root, forking", hog.Forking, "/")
	for _, dir := range []string{"busy", "outer/inner", "a/beside"} {
		c.start(dir+", stubborn", hog.Stubborn, "/rtshield-test/"+dir)
		c.start(dir+", forking", hog.Forking, "/rtshield-test/"+dir)
	}
	c.container("before", rig.CgroupParent)
	return c
}

func (c *crowd) start(name, mode, cpusetDir string) int {
	c.r.Helper()
	pid, err := c.Start(name, mode, rig.Cgroup("cpuset", cpusetDir, ""), c.account)
	if err != nil {
		c.r.Fatal(err)
	}
	return pid
}

// container runs a loop in a container of plain runc, of which rtshield knows nothing.
func (c *crowd) container(id, below string) {
	c.r.Helper()
	bundle := c.r.Bundle(id, rig.Args(c.Args("container "+id, hog.Stubborn)...), func(s *specs.Spec) {
		s.Linux.CgroupsPath = below + "/" + id
		s.Process.Env = append(s.Process.Env, "GOMAXPROCS=1")
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/hog", Type: "bind", Source: c.Dir, Options: []string{"bind", "rw"}})
	})
	c.r.Track(id)
	file := filepath.Join(c.r.Dir, "pid-"+id)
	c.r.Must(c.r.Plain("run", "--detach", "--bundle", bundle, "--pid-file", file, id))
	if pid := c.r.Adopt(file); pid > 0 && exists(filepath.Join(c.account, "cgroup.procs")) {
		if err := hog.Move(pid, c.account); err != nil {
			c.r.Fatal(err)
		}
	}
}

// spin lets the loops spin, does something in the middle of it, and gives the share of the time that they got on each
// CPU: those that other programs of this machine use count for nothing.
func (c *crowd) spin(meanwhile func()) []float64 {
	c.r.Helper()
	c.Spin()
	defer c.Rest()
	time.Sleep(spinning / 4) // whoever was on a CPU when the shield came is gone
	first, begun := c.times(), time.Now()
	time.Sleep(spinning / 4)
	meanwhile()
	time.Sleep(spinning)
	second, took := c.times(), time.Since(begun)
	c.r.Eventual(func() error {
		if idle := c.Idle(); len(idle) > 0 {
			return fmt.Errorf("these loops have not run, so they prove nothing: %q", idle)
		}
		return nil
	})
	var shares []float64
	for cpu := range first {
		shares = append(shares, float64(second[cpu]-first[cpu])/float64(took))
	}
	return shares
}

// times are the loops' run times on each CPU, in ns; none on cgroup v2, which keeps no such account.
func (c *crowd) times() []int64 {
	c.r.Helper()
	text, err := os.ReadFile(filepath.Join(c.account, "cpuacct.usage_percpu"))
	if err != nil {
		return nil
	}
	var times []int64
	for word := range strings.FieldsSeq(string(text)) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			c.r.Fatal(err)
		}
		times = append(times, n)
	}
	return times
}

func (c *crowd) keptOff(when string, meanwhile func()) {
	c.r.Helper()
	shares := c.spin(meanwhile)
	if len(shares) > 1 && shares[1] > 0.02 {
		c.r.Errorf("%s: the loops had %.1f %% of CPU 1", when, 100*shares[1])
	}
	for _, line := range c.On(cpuset.New(1)) {
		c.r.Errorf("%s: a loop ran there: %s", when, line)
	}
	c.r.Logf("%s: %.3f of each CPU", when, shares)
}

// let waits until the loops get something of both CPUs: other programs use them too.
func (c *crowd) let(when string) {
	c.r.Helper()
	c.r.Eventual(func() error {
		shares := c.spin(func() {})
		if len(shares) > 1 && shares[1] < 0.1 || !c.All().Equals(cpuset.New(0, 1)) {
			return fmt.Errorf("%s: the loops ran on CPU %s, and had %.3f of each", when, c.All(), shares)
		}
		c.r.Logf("%s: %.3f of each CPU", when, shares)
		return nil
	})
}

// Not with masks: with loops that want every CPU, and the kernel's account of the time that they got there.
func TestABusyLoopGetsNoTimeOnAGrantedCPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		c := newCrowd(r)
		before := snapshot.TakeHost()
		c.let("before")
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		c.container("after", "/rtshield-test/late")
		c.keptOff("while it sleeps", func() {
			c.start("started meanwhile", hog.Forking, "/rtshield-test/busy")
			moving := c.start("moved meanwhile", hog.Stubborn, "/rtshield-test/busy")
			moves(r, moving, "/rtshield-test/outer/inner")
		})

		// What level cpuset cannot hold by itself: a task moved to the root, a container of plain runc below a parent that
		// must have the granted CPU, and an administrator's hand.
		moves(r, c.start("moved to the root", hog.Plain, "/rtshield-test/busy"), "/")
		c.container("neighbour", rig.CgroupParent)
		put(r, rig.Cgroup("cpuset", "/rtshield-test/busy", "cpuset.cpus"), "0-1")
		c.spin(func() {})
		if len(c.On(cpuset.New(1))) == 0 {
			r.Error("without its shield no loop came to CPU 1: this test sees nothing")
		}
		r.Must(r.Shield("reconcile"))
		c.keptOff("after reconcile", func() {})

		r.End("web")
		for _, line := range before.Changed() {
			if !strings.Contains(line, "/late/") && !strings.Contains(line, "/neighbour/") { // plain runc's, made since
				r.Errorf("after delete: %s", line)
			}
		}
		c.let("afterwards")
		for _, id := range []string{"before", "after", "neighbour"} {
			r.Must(r.Plain("delete", "--force", id))
		}
	})
}

func moves(r *rig.Rig, pid int, dir string) {
	r.Helper()
	if err := hog.Move(pid, rig.Cgroup("cpuset", dir, "")); err != nil {
		r.Fatal(err)
	}
}
