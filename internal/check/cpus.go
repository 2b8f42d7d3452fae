package check

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/shield"
)

// pool: whether there is a CPU to be had, and whether a container of the class would be let in.
func pool(v *view) []Finding {
	f := Finding{Name: "shield", Mark: Good, Looked: []string{"/sys/devices/system/cpu", "[layout]", "[class." + v.class.Name + "]"}}
	switch {
	case v.refused != nil:
		f.Mark, f.Found = Fail, v.refused.Error()
		f.Why = "without CPUs in the shield no container can be shielded"
		if v.layout.Pool.IsEmpty() && v.facts.Topology.Online.Size() < 2 {
			f.Do = []string{"take a machine with two CPUs or more: the first is for all that is not shielded"}
		}
	default:
		f.Found = fmt.Sprintf("%s can be granted (%s); %s keeps house", cpuText(v.layout.Pool), v.layout.Source, cpuText(v.layout.Housekeeping))
	}
	return one(f)
}

// siblings: what shares a core with the CPUs of the pool.
func siblings(v *view) []Finding {
	f := Finding{Name: "SMT", Mark: Good, Looked: []string{"/sys/devices/system/cpu/cpu*/topology/thread_siblings_list"}}
	if v.refused != nil {
		return nil
	}
	house := cpuset.New()
	shared := false
	for _, core := range v.topo.Cores {
		inPool := core.Intersection(v.layout.Pool.CPUSet)
		shared = shared || core.Size() > 1
		if !inPool.IsEmpty() && !inPool.Equals(core) {
			house = house.Union(core.Difference(inPool))
		}
	}
	switch {
	case !shared:
		f.Found = "no two CPUs of the shield share a core"
		if _, virtual := platform.Hypervisor(v.Root); virtual {
			f.Found += ", as far as this virtual machine is told"
		}
	case !house.IsEmpty():
		f.Mark, f.Found = Limit, fmt.Sprintf("%s keeps house on a core of the shield", cpuText(shield.CPUsOf(house)))
		f.Why = "two threads of a core share its units and its caches; under smt isolate the other one cannot be granted"
		f.Do = []string{"put whole cores into [layout] shield"}
	case v.class.SMT == shield.SMTPrefer:
		f.Mark, f.Found = Limit, fmt.Sprintf("CPUs share cores, and class %s lets others onto the sibling (smt = %q)", v.class.Name, v.class.SMT)
		f.Why = "two threads of a core share its units and its caches"
		f.Do = []string{fmt.Sprintf("[class.%s] smt = %q, or for the whole host: echo off >/sys/devices/system/cpu/smt/control", v.class.Name, shield.SMTIsolate)}
	default:
		f.Found = fmt.Sprintf("CPUs share cores; class %s has both threads of a core, or leaves one idle (smt = %q)", v.class.Name, v.class.SMT)
	}
	return one(f)
}

// isolated: CPUs that the kernel was booted to isolate.
func isolated(v *view) []Finding {
	f := Finding{Name: "isolcpus", Mark: Good, Looked: []string{"/sys/devices/system/cpu/isolated", "/sys/devices/system/cpu/nohz_full"}}
	booted := v.facts.Topology.Isolated
	idle := booted.Difference(v.layout.Pool.CPUSet)
	switch {
	case booted.IsEmpty():
		f.Found = "none at boot; a CPU is isolated when a container gets it"
	case !idle.IsEmpty() && v.refused == nil:
		f.Mark, f.Found = Limit, fmt.Sprintf("%s is isolated at boot and not in the shield", cpuText(shield.CPUsOf(idle)))
		f.Why = "nothing runs there, and no container can have it"
		f.Do = []string{"take it into [layout] shield, or out of isolcpus= and nohz_full="}
	default:
		f.Found = cpuText(shield.CPUsOf(booted)) + " is isolated at boot"
	}
	return one(f)
}

// tick: whether the scheduler's tick can leave a busy CPU.
func tick(v *view) []Finding {
	f := Finding{Name: "nohz_full", Mark: Good, Looked: []string{"/sys/devices/system/cpu/nohz_full", "kernel configuration"}}
	if v.refused != nil {
		return nil
	}
	without, err := v.Root.ReadList("sys/devices/system/cpu/nohz_full") // "(null)" without the option
	if err == nil && v.layout.Pool.IsSubsetOf(without) {
		f.Found = cpuText(v.layout.Pool) + " has no tick while one thread runs there alone"
		return one(f)
	}
	f.Mark, f.Found = Limit, "the scheduler's tick interrupts "+cpuText(v.layout.Pool)+" while anything runs there"
	f.Why = "it delays a thread that polls without a pause; one that sleeps between two events hardly meets it"
	if hz, err := strconv.Atoi(v.config["HZ"]); err == nil && hz > 0 {
		f.Micros = &Micros{1e6 / float64(hz), "from one tick to the next", "CONFIG_HZ=" + v.config["HZ"]}
	}
	switch {
	case v.config != nil && v.config["NO_HZ_FULL"] != "y":
		f.Found += "; this kernel cannot do otherwise (CONFIG_NO_HZ_FULL)"
	default:
		option := fmt.Sprintf("nohz_full=%s rcu_nocbs=%[1]s", v.layout.Pool)
		note := ""
		if v.grant.Level == shield.LevelPartition {
			note = " (such CPUs are shielded at level cpuset, not partition)"
		}
		f.Do = []string{"for programs that poll, boot with " + option + note}
	}
	return one(f)
}

// bracket gives the boot option that keeps managed interrupts off the pool, "" if it is there.
func managedOption(root host.Root, cpus shield.CPUs) (option string, change bool) {
	now, found := platform.Option(root, "isolcpus")
	for flag := range strings.SplitSeq(now, ",") {
		if flag == "managed_irq" {
			return "", false
		}
	}
	if found {
		return "isolcpus=managed_irq,domain," + cpus.String(), true
	}
	return "isolcpus=managed_irq," + cpus.String(), false
}
