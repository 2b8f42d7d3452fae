package shield

import (
	"fmt"
	"strings"
)

// Update is what an update of a running container asks for of its CPUs. The zero value asks for nothing.
type Update struct {
	// CPUs and Mems are lists in the kernel's format, "" if the update says nothing of them.
	CPUs, Mems string
	// Quota is in µs for each period. Zero says nothing of it, less lifts it.
	Quota int64
	// RTRuntime and RTPeriod are a real-time budget in µs.
	RTRuntime, RTPeriod int64
	// Idle is cpu.idle: 1 makes the whole cgroup SCHED_IDLE.
	Idle int64
	// Other names further settings of its cpuset.
	Other []string
}

// Asked is what the engine wrote into config.json of the CPUs. It says it again with each update.
type Asked struct {
	CPUs  string `json:"cpus,omitempty"`
	Mems  string `json:"mems,omitempty"`
	Quota int64  `json:"quota,omitempty"`
}

// Moves says whether an update names other CPUs than the container has, and than the engine named from the start.
func (g Grant) Moves(update Update) (to CPUs, moves bool, err error) {
	if update.CPUs == "" || update.CPUs == g.Asked.CPUs {
		return g.CPUs, false, nil
	}
	to, err = ParseCPUs(update.CPUs)
	if err != nil {
		return to, false, fmt.Errorf("update of container %s: cpus %w", g.Name, err)
	}
	return to, !to.Equals(g.CPUs.CPUSet) && !to.Equals(g.Cpuset().CPUSet), nil
}

// Accept holds an update to a container's grant. What it leaves out, says as the grant has it, or repeats of what the engine
// wrote at the start keeps the grant; any other is an error.
func (g Grant) Accept(update Update) error {
	refuse := func(what, why, help string) error {
		return fmt.Errorf("update of container %s asks for %s, but %s: %s", g.Name, what, why, help)
	}
	if _, moves, err := g.Moves(update); err != nil {
		return err
	} else if moves {
		return refuse("CPU "+update.CPUs, "it holds CPU "+g.CPUsText()+" (class "+g.Class+")",
			`leave the CPUs out, create it anew, or let the engine choose them ([layout] cpus_from = "engine")`)
	}
	if update.Mems != "" && update.Mems != g.Asked.Mems {
		mems, err := ParseCPUs(update.Mems)
		if err != nil {
			return fmt.Errorf("update of container %s: mems %w", g.Name, err)
		}
		if !mems.Equals(g.Mems.CPUSet) {
			return refuse("memory node "+update.Mems, "its CPUs "+g.CPUs.String()+" are next to node "+g.Mems.String(), "leave mems out")
		}
	}
	if update.Quota > 0 && update.Quota != g.Asked.Quota && update.Quota != g.Share.Quota {
		why := "CPU " + g.CPUs.String() + " is its own, without a quota"
		if g.Share.Limited() {
			why = "it asked for " + g.Share.String()
		}
		return refuse(fmt.Sprintf("a quota of %d µs", update.Quota), why, "leave the quota out (docker update --cpus, --cpu-quota)")
	}
	if runtime := update.RTRuntime; runtime != 0 && runtime != g.Budget.Runtime {
		return refuse(fmt.Sprintf("a real-time budget of %d µs", runtime), fmt.Sprintf("class %s gives it %d µs", g.Class, g.Budget.Runtime), "leave it out")
	}
	if period := update.RTPeriod; period != 0 && period != g.Budget.Period {
		return refuse(fmt.Sprintf("a real-time period of %d µs", period), fmt.Sprintf("class %s gives it %d µs", g.Class, g.Budget.Period), "leave it out")
	}
	if update.Idle != 0 {
		return refuse("cpu.idle", "class "+g.Class+" gives it policy "+g.PolicyText(), "leave it out")
	}
	if len(update.Other) > 0 {
		return refuse(strings.Join(update.Other, ", "), "its cpuset is rtshield's", "leave it out")
	}
	return nil
}

// Relocate gives a grant as it is on other CPUs, which the engine has chosen. They are held to the same rules as the first
// ones were.
func Relocate(classes map[string]Class, layout Layout, topo Topology, ledger *Ledger, grant Grant, to CPUs) (Grant, error) {
	class, known := classes[grant.Class]
	switch {
	case to.IsEmpty():
		return grant, fmt.Errorf("update of container %s asks for no CPU", grant.Name)
	case known && to.Size() > class.MaxCPUs:
		return grant, fmt.Errorf("container %s asks for %d CPUs; class %s allows at most %d: ask for fewer, or raise max_cpus", grant.Name, to.Size(), class.Name, class.MaxCPUs)
	case grant.Mask != "":
		return grant, fmt.Errorf("container %s cannot move to CPU %s: its threads have their CPUs by realtime-mask %s: create it anew", grant.Name, to, grant.Mask)
	case grant.Pinned:
		return grant, fmt.Errorf("container %s cannot move to CPU %s: this host has no cpuset controller", grant.Name, to)
	}
	others := without(ledger.Grants, func(g Grant) bool { return g.Key == grant.Key })
	near, _ := ParseNear(grant.Near)
	class.Name = grant.Class
	terms := Terms{Class: class, Explicit: to.CPUSet, SMT: grant.SMT, NUMA: grant.NUMA, Near: near}
	free := layout.Pool.Difference(takenBy(topo, others)).Difference(grant.ExecCPUs.CPUSet)
	idle, err := check(layout, topo, Holders(others), free, grant.Name, terms, grant.NearNodes.CPUSet)
	if err != nil {
		return grant, err
	}
	mems := CPUsOf(topo.MemoryOf(to.CPUSet))
	if len(grant.HugePages) > 0 && !mems.Equals(grant.Mems.CPUSet) {
		return grant, fmt.Errorf("container %s has huge pages on node %s and cannot move to CPU %s, next to node %s: create it anew", grant.Name, grant.Mems, to, mems)
	}
	if len(grant.Ways) > 0 {
		return grant, fmt.Errorf("container %s has ways of the L3 next to CPU %s and cannot move to CPU %s: create it anew", grant.Name, grant.CPUs, to)
	}
	grant.Asked.CPUs = to.String()
	grant.CPUs, grant.Idle, grant.Mems = to, CPUsOf(idle), mems
	return grant, nil
}
