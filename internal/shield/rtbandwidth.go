package shield

import (
	"fmt"

	"k8s.io/utils/cpuset"
)

// leastFair is what a CPU's fair server may have left to real-time threads: the kernel lets it and all of class deadline have
// no more than sched_rt_runtime_us of each second, 95 %.
const leastFair = 5 * one

func chooseRTBandwidth(terms *Terms, request Request) error {
	choice, ok := request.Choices[KeyRTBandwidth]
	if !ok {
		return nil
	}
	asked, err := ParsePercent(choice.Value)
	switch {
	case err != nil || asked == 0 || asked > hundred:
		return wrongValue(choice, "how much of each of its CPUs real-time threads may have, such as 80%")
	case !terms.Policy.HasPriority():
		return fmt.Errorf("annotation %s is for policies fifo and rr; class %s gives %s", choice.Source, terms.Class.Name, terms.Policy)
	case request.Budget.Runtime > 0:
		return fmt.Errorf("annotation %s = %q and linux.resources.cpu.realtimeRuntime = %d µs (docker run --cpu-rt-runtime) both bound the real-time threads of container %s: leave one of them out",
			choice.Source, choice.Value, request.Budget.Runtime, request.Name)
	}
	terms.RTBandwidth = asked
	return nil
}

// boundRealTime gives a grant the bandwidth of its real-time threads: the budget of its cgroup where the kernel has those; else
// what the fair servers of its CPUs leave to them.
func boundRealTime(grant *Grant, layout Layout, host Host, ledger *Ledger, request Request, terms Terms) error {
	if terms.RTBandwidth == 0 {
		return nil
	}
	choice := request.Choices[KeyRTBandwidth]
	grant.RTBandwidth = terms.RTBandwidth
	if period := host.Budget.Period; period > 0 {
		grant.Budget = Budget{Runtime: terms.RTBandwidth.of(period), Period: period}
		if left := budgetLeft(host.Budget, layout, ledger.Grants, grant.Held().CPUSet); grant.Budget.Runtime > left {
			return fmt.Errorf("annotation %s = %q is %d µs of real-time budget (RT_GROUP_SCHED); of the %d µs that all cgroups have together %d are left for it, since each free CPU of the shield keeps its part%s: ask for %s or less, or narrow [layout] shield",
				choice.Source, choice.Value, grant.Budget.Runtime, rootRuntime(host.Budget), left, beside(ledger.Grants), percentOf(left, period)/one*one)
		}
		return nil
	}
	switch {
	case host.NoFairServer != "":
		return fmt.Errorf("annotation %s = %q: this kernel has no such budget for the container: no RT_GROUP_SCHED on cgroup v1, and %s: leave it out, or bound single threads with class deadline",
			choice.Source, choice.Value, host.NoFairServer)
	case terms.Power.Wish(FairServer) != "":
		return fmt.Errorf("annotation %s = %q keeps the rest for ordinary threads, and class %s gives them nothing (fair_server = %q): leave one of them out",
			choice.Source, choice.Value, terms.Class.Name, terms.Power.FairServer)
	case terms.RTBandwidth < leastFair:
		return fmt.Errorf("annotation %s = %q: without RT_GROUP_SCHED on cgroup v1 the CPU's fair server keeps the rest for ordinary threads, and it may have 95%% at most: ask for 5%% or more",
			choice.Source, choice.Value)
	}
	grant.Power.FairServer = (hundred - terms.RTBandwidth).String()
	grant.Limits = append(grant.Limits, Limit{
		What: fmt.Sprintf("real-time threads have more than %s of CPU %s while ordinary ones do not want the rest", terms.RTBandwidth, grant.CPUs),
		Why:  "this kernel has no budget for the real-time threads of a cgroup (RT_GROUP_SCHED, cgroup v1), but a fair server on each CPU that keeps time for ordinary ones",
	})
	return nil
}

// budgetLeft is what a grant of mine may have of the root's real-time budget: all that live grants do not have, but the parts
// of the pool's CPUs that stay free (budgetShare).
func budgetLeft(root Budget, layout Layout, grants []Grant, mine cpuset.CPUSet) int64 {
	left := rootRuntime(root)
	for _, grant := range grants {
		left -= scale(grant.Budget, root.Period)
	}
	free := layout.Pool.Difference(heldBy(grants)).Difference(mine)
	part := budgetShare(root, Budget{}, 1, layout.Pool.Size()).Runtime
	return max(left-part*int64(free.Size()), 0)
}

// rootRuntime is the root's runtime. The kernel counts it as all of the period where RT throttling is off.
func rootRuntime(root Budget) int64 {
	if root.Runtime < 0 {
		return root.Period
	}
	return root.Runtime
}

func beside(grants []Grant) string {
	if len(grants) == 0 {
		return ""
	}
	return " and others have theirs (" + Holders(grants) + ")"
}
