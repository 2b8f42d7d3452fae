//go:build vmguest

package guest_test

import (
	"errors"
	"os"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/hog"
)

// crun hands the affinity of who calls it on to the container, and so does runc before 1.2: not to one that was granted CPUs.
func TestAnEnginesOwnAffinityIsNotThatOfItsContainer(t *testing.T) {
	each(t, func(r *rig) {
		free := r.status().Free.List()
		both := cpuset.New(free[0], free[1])
		var was, narrow unix.CPUSet
		narrow.Set(free[0])
		goruntime.LockOSThread() // what is started from this thread inherits from it
		defer goruntime.UnlockOSThread()
		if err := errors.Join(unix.SchedGetaffinity(0, &was), unix.SchedSetaffinity(0, &narrow)); err != nil {
			r.Fatal(err)
		}
		defer unix.SchedSetaffinity(0, &was)
		pid := r.begin("run", "a", class("fifo"), annotate("smt", "prefer", "numa", "any"), cpus(both.String()))
		if now := r.allowed(pid); now != both.String() {
			r.Errorf("it may run on CPU %s, and was granted %s", now, both)
		}
		r.end("a")
	})
}

// Before Linux 6.2 writing a cpuset resets the affinity of every thread in it.
func TestTasksKeepTheAffinityThatTheyChose(t *testing.T) {
	onRunc(t, func(r *rig) {
		dir := "/own"
		for _, hierarchy := range hierarchies() {
			if err := os.Mkdir(hierarchy+dir, 0o755); err != nil {
				r.Fatal(err)
			}
			r.Cleanup(func() { r.eventually(func() error { return os.Remove(hierarchy + dir) }) })
		}
		if !unified() {
			if err := inherit(cpusetMount() + dir); err != nil {
				r.Fatal(err)
			}
		}
		pool := r.status().Layout.Pool.List()
		wanted := pool[len(pool)-1]
		pids := map[string]int{}
		pin := func(name string, cpus ...int) {
			r.Helper()
			pid := sleeper(r)
			if err := hog.Move(pid, cpusetMount()+dir); err != nil {
				r.Fatal(err)
			}
			var mask unix.CPUSet
			for _, cpu := range cpus {
				mask.Set(cpu)
			}
			if err := unix.SchedSetaffinity(pid, &mask); err != nil {
				r.Fatal(err)
			}
			pids[name] = pid
		}
		runs := func(when, name string, want cpuset.CPUSet) {
			r.Helper()
			if now := r.allowed(pids[name]); now != want.String() {
				r.Errorf("%s: the task pinned to %s may run on CPU %s, want %s", when, name, now, want)
			}
		}
		pin("a housekeeping CPU", 1)
		pin("both", 1, wanted)
		pin("the granted CPU", wanted)
		r.begin("run", "a", class("fifo"), annotate("cpuset", cpuset.New(wanted).String()), annotate("smt", "prefer"))
		runs("shielded", "a housekeeping CPU", cpuset.New(1))
		runs("shielded", "both", cpuset.New(1))
		if now := parse(r, r.allowed(pids["the granted CPU"])); now.Contains(wanted) {
			r.Errorf("shielded: the task pinned to the granted CPU %d may run on %s", wanted, now)
		}
		pin("another, meanwhile", 0)
		r.begin("run", "b", class("fifo"))
		runs("beside a second", "both", cpuset.New(1))
		r.end("b")
		runs("after the second", "another, meanwhile", cpuset.New(0))
		r.end("a")
		runs("afterwards", "a housekeeping CPU", cpuset.New(1))
		runs("afterwards", "both", cpuset.New(1, wanted))
		runs("afterwards", "the granted CPU", cpuset.New(wanted))
		runs("afterwards", "another, meanwhile", cpuset.New(0))
	})
}

// Who calls create was moved off the CPUs of a shield, and create inherits that. Where it is the one that ends the shield, its own
// container has all CPUs again, as all others have.
func TestAContainerWhoseCreateEndsAShieldHasNothingOfIt(t *testing.T) {
	each(t, func(r *rig) {
		r.begin("run", "a", class("fifo"), annotate("partition", "none"))
		r.must(r.oci("kill", "a", "KILL"))
		select {
		case <-r.gone["a"]:
		case <-time.After(patience):
			r.Fatal("it did not end when killed")
		}
		pid := r.begin("run", "b")
		if now, online := r.allowed(pid), topology(r).Online.String(); now != online {
			r.Errorf("it may run on CPU %s of %s", now, online)
		}
		r.end("b")
		r.must(r.oci("delete", "a"))
	})
}

// A container below a cgroup that has to do without a shield's CPUs itself is not cut when it is made, and an update cuts it later:
// what crun had handed on to it of its engine's affinity would then no longer be known.
func TestAnUpdateDoesNotMakeAnEnginesAffinityItsContainers(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		const beside = "/pods/b"
		(&player{rig: r}).mkdir(beside)
		cores := r.cores()
		r.begin("run", "first", class("fifo"), annotate("cpuset", threadOf(cores[len(cores)-1], 0), "partition", "none"))
		pid := r.begin("run", "ordinary", func(s *specs.Spec) { s.Linux.CgroupsPath = beside + "/ordinary" })
		wanted := topology(r).Online.Difference(cpuset.New(0))
		r.must(r.oci("update", "--cpuset-cpus", wanted.String(), "ordinary"))
		r.end("first")
		if now := r.allowed(pid); now != wanted.String() {
			r.Errorf("afterwards it may run on CPU %s, and its update asked for %s", now, wanted)
		}
		r.end("ordinary")
		r.emptyAgain()
	})
}

// Nor is it below a cgroup that the administrator has given some CPUs only.
func TestAnEnginesAffinityIsNotHandedOnInPart(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		const beside = "/pods/b"
		(&player{rig: r}).mkdir(beside)
		wanted := topology(r).Online.Difference(cpuset.New(0))
		r.put(cpusetMount()+beside+"/cpuset.cpus", wanted.String())
		cores := r.cores()
		r.begin("run", "first", class("fifo"), annotate("cpuset", threadOf(cores[len(cores)-1], 0), "partition", "none"))
		pid := r.begin("run", "ordinary", func(s *specs.Spec) { s.Linux.CgroupsPath = beside + "/ordinary" })
		r.end("first")
		if now := r.allowed(pid); now != wanted.String() {
			r.Errorf("afterwards it may run on CPU %s of %s", now, wanted)
		}
		r.end("ordinary")
	})
}
