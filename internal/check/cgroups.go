package check

import (
	"os"
	"slices"

	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

func hierarchy(v *view) []Finding {
	f := Finding{Name: "hierarchy", Mark: Good, Looked: []string{"/proc/self/cgroup", "/proc/self/mountinfo"}}
	place, found, err := v.Root.Controller(os.Getpid(), "cpuset")
	switch {
	case err != nil:
		return unread(f.Name, f.Looked, err)
	case !found || !v.facts.Cpusets:
		f.Mark, f.Found = Limit, "no cpuset controller"
		f.Why = "tasks are moved away from a container's CPUs one by one, and nothing holds them there"
		f.Do = []string{"boot a kernel with CONFIG_CPUSETS, without cgroup_disable=cpuset"}
	case place.Unified:
		f.Found = "cgroup v2, with cpusets"
	default:
		f.Mark, f.Found = Limit, "cgroup v1 has the cpusets ("+place.Mount+")"
		f.Why = "a CPU cannot be made a partition: other tasks are kept off by shrinking every other cpuset, which others can widen"
		f.Do = []string{"start this host with cgroup v2 alone"}
		if systemd.Runs(v.Root) {
			f.Do, f.Boot = []string{"boot with systemd.unified_cgroup_hierarchy=1"}, "systemd.unified_cgroup_hierarchy=1"
		}
	}
	return one(f)
}

func partition(v *view) []Finding {
	f := Finding{Name: "partition", Mark: Good, Looked: []string{"cpuset.cpus.partition of a new cgroup"}}
	if v.refused != nil {
		return nil
	}
	if v.grant.Level != shield.LevelPartition {
		f.Mark, f.Found = Limit, "containers have level "+v.grant.Level+": "+v.weaker
		f.Why = "the kernel itself does not keep other tasks off; rtshield does, and what others start or pin there meanwhile is moved by its next run"
		if v.grant.Level == shield.LevelCpuset {
			f.Looked = []string{"the cgroup hierarchy", "boot options", "[layout] level", "class " + v.class.Name}
		}
		if booted := v.layout.Pool.Intersection(v.facts.Topology.Isolated); !booted.IsEmpty() && v.facts.Level == shield.LevelPartition {
			f.Do = []string{"boot without isolcpus= and nohz_full= for " + cpuText(shield.CPUsOf(booted)) + " (isolcpus=managed_irq, alone does not matter)"}
		}
		return one(f)
	}
	switch try := v.trial.partition; {
	case try.done && try.err == nil:
		f.Found = cpuText(try.cpus) + " was made a partition, and given back"
	case try.done:
		f.Mark, f.Found = Fail, cpuText(try.cpus)+" could not be made a partition: "+try.err.Error()
		f.Why = "a container that asks is refused, unless it asks for rtshield.io/partition: none"
		f.Do = []string{"see what has these CPUs: grep . /sys/fs/cgroup/*/cpuset.cpus{,.exclusive}"}
	case try.proof != "":
		f.Found, f.Looked = try.proof, []string{"the ledger"}
	default:
		f.Mark, f.Found = Unknown, "not tried: "+try.why
	}
	return one(f)
}

// ledger: what others, or another rtshield, have left behind.
func ledger(v *view) []Finding {
	f := Finding{Name: "ledger", Mark: Good, Looked: []string{v.Store.Dir, "cgroups with our mark"}}
	if v.Privilege != nil {
		return nil
	}
	if len(v.ledger.Grants) == 0 {
		if err := reconcile.UnknownError(v.Root, v.Store, v.ledger); err != nil {
			f.Mark, f.Found, f.Why = Fail, err.Error(), "a create would take what was set for that container for what was there before, and is refused"
			return one(f)
		}
	}
	stale := slices.ContainsFunc(v.ledger.Grants, func(g shield.Grant) bool { return !reconcile.Live(v.Root, g) })
	switch {
	case stale:
		f.Mark, f.Found, f.Why = Limit, "a container has ended without a release", "its CPUs are free again only after the next run of rtshield"
		f.Do = []string{"rtshield reconcile"}
	case len(v.ledger.Grants) == 0:
		f.Found = "no container holds a CPU"
	default:
		f.Found = "what containers hold is known; rtshield verify tells whether it holds"
	}
	return one(f)
}
