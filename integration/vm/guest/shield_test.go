//go:build vmguest

package guest_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAShieldedContainerHasItsCPUsOnOneNode(t *testing.T) {
	each(t, func(r *rig) {
		pid := r.begin("run", "a", class("fifo"), annotate("cpus", "1"))
		grant := r.grant("a")
		if grant.CPUs.Size() != 1 || !grant.CPUs.IsSubsetOf(r.status().Layout.Pool.CPUSet) {
			r.Errorf("granted CPU %s", grant.CPUs)
		}
		topo := topology(r)
		if nodes := parse(r, grant.Mems.String()); nodes.Size() != 1 || !grant.CPUs.IsSubsetOf(topo.Nodes[nodes.List()[0]]) {
			r.Errorf("CPU %s with memory of node %s", grant.CPUs, grant.Mems)
		}
		for file, want := range map[string]string{
			"cpuset.cpus": grant.CPUs.String(), effective(): grant.CPUs.String(), "cpuset.mems": grant.Mems.String(),
		} {
			if now := r.knob("a", file); now != want {
				r.Errorf("%s reads %q, want %q", file, now, want)
			}
		}
		if now := r.allowed(pid); now != grant.CPUs.String() {
			r.Errorf("Cpus_allowed_list is %s, want %s", now, grant.CPUs)
		}
		environ := strings.ReplaceAll(text(r, fmt.Sprintf("/proc/%d/environ", pid)), "\x00", " ")
		r.contains("the environment", environ, "RTSHIELD_CPUS="+grant.CPUs.String(), "RTSHIELD_CLASS=fifo", "RTSHIELD_LEVEL="+grant.Level)
		r.end("a")
		r.asBefore("after delete")
	})
}

func TestTwoCPUsAreOfOneNode(t *testing.T) {
	once(t, func(r *rig) {
		pid := r.begin("run", "a", class("fifo"), annotate("cpus", "2"))
		grant := r.grant("a")
		topo := topology(r)
		if grant.CPUs.Size() != 2 || grant.Mems.Size() != 1 || !grant.CPUs.IsSubsetOf(topo.Nodes[grant.Mems.List()[0]]) {
			r.Errorf("granted CPU %s with memory of node %s", grant.CPUs, grant.Mems)
		}
		if now := r.knob("a", "cpuset.cpus"); now != grant.CPUs.String() || r.allowed(pid) != now {
			r.Errorf("cpuset.cpus %q, allowed %q, granted %s", now, r.allowed(pid), grant.CPUs)
		}
	})
}

func TestTheSiblingOfAnIsolatedThreadStaysIdle(t *testing.T) {
	once(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		topo := topology(r)
		grant := r.grant("a")
		siblings := grant.CPUs.CPUSet
		for _, core := range topo.Cores {
			if !core.Intersection(siblings).IsEmpty() {
				siblings = siblings.Union(core)
			}
		}
		if siblings.Size() != 2 {
			r.Fatalf("CPU %s has siblings %s: this VM should have two threads a core", grant.CPUs, siblings)
		}
		if idle := siblings.Difference(grant.CPUs.CPUSet); !grant.Idle.Equals(idle) {
			r.Errorf("idle CPUs %s, want %s", grant.Idle, idle)
		}
		if free := r.status().Free; !free.Intersection(siblings).IsEmpty() {
			r.Errorf("CPU %s is free beside CPU %s", free, grant.CPUs)
		}
		if pid, result := r.try("run", "b", r.bundle("b", class("fifo"), annotate("cpuset", grant.Idle.String()))); result.code == 0 {
			r.Errorf("the idle sibling %s was granted to pid %d", grant.Idle, pid)
		} else {
			r.contains("the refusal", result.stderr, "taken", "a")
		}
	})
}

func TestFIFOHoldsBeforeAndAfterExec(t *testing.T) {
	each(t, func(r *rig) {
		pid := r.begin("create", "a", class("fifo"))
		r.policy("created", pid, unix.SCHED_FIFO, 50)
		r.must(r.oci("start", "a"))
		r.runs(pid, "sleep")
		r.policy("started", pid, unix.SCHED_FIFO, 50)
		r.end("a")
		r.asBefore("after delete")
	})
}

func TestRRAndBatchHold(t *testing.T) {
	onRunc(t, func(r *rig) {
		rr := r.begin("run", "rr", class("rr"), annotate("priority", "60"))
		batch := r.begin("run", "batch", class("batch"))
		r.runs(rr, "sleep")
		r.runs(batch, "sleep")
		r.policy("rr", rr, unix.SCHED_RR, 60)
		r.policy("batch", batch, unix.SCHED_BATCH, 0)
	})
}

func TestFIFOHoldsInAUserNamespaceWithoutCapabilities(t *testing.T) {
	each(t, func(r *rig) {
		pid := r.begin("run", "a", class("fifo"), powerless)
		r.runs(pid, "sleep")
		r.policy("in a user namespace", pid, unix.SCHED_FIFO, 50)
		status := text(r, fmt.Sprintf("/proc/%d/status", pid))
		r.contains("its capabilities", status, "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Uid:\t100000")
		r.end("a")
		r.asBefore("after delete")
	})
}

func TestExecRunsOrdinary(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		stat := r.must(r.oci("exec", "a", "/bin/cat", "/proc/self/stat", "/proc/self/status")).out
		first, rest, _ := strings.Cut(stat, "\n")
		_, fields, _ := strings.Cut(first, ") ")
		// rt_priority and policy are the fields 40 and 41 of proc(5); two are cut off.
		if words := strings.Fields(fields); len(words) < 39 || words[37] != "0" || words[38] != "0" {
			r.Errorf("exec does not run SCHED_OTHER: %q", first)
		}
		r.contains("exec's CPUs", rest, "Cpus_allowed_list:\t"+r.grant("a").CPUs.String()+"\n")
	})
}

func TestARunInTheForegroundGivesItsStatusAndLeavesNothing(t *testing.T) {
	shownOn(t, "6.12")
	onRuncAndCrun(t, func(r *rig) {
		dir := r.bundle("a", class("fifo"), args("/bin/sh", "-c", "echo on $RTSHIELD_CPUS; exit 7"))
		result := r.oci("run", "--bundle", dir, "a")
		if result.code != 7 || !strings.HasPrefix(result.out, "on ") {
			r.Error(result)
		}
		r.asBefore("after the run")
	})
}

func TestAContainerDeletedBeforeItsStartLeavesNothing(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		r.begin("create", "a", class("fifo"))
		r.must(r.oci("delete", "--force", "a"))
		r.asBefore("after delete")
	})
}
