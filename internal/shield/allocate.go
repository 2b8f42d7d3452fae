package shield

import (
	"fmt"
	"sort"
	"strings"

	"k8s.io/utils/cpuset"
)

// Host is what a decision needs to know of the machine.
type Host struct {
	Topology Topology
	// Budget is the root's real-time budget on cgroup v1 with RT_GROUP_SCHED; zero where groups need none.
	Budget Budget
	// Level is the strongest that its kernel and cgroups allow, Weaker why it is not a stronger one.
	Level, Weaker string
	// Local: only a cgroup right below the root can be a partition (Linux before 6.7).
	Local bool
	// Cpusets: there is a cpuset controller. Without one the hook sets the container's affinity.
	Cpusets bool
	// Interrupts holds the names of each, for a request that claims some.
	Interrupts map[int][]string
}

// Decide turns a request into a grant, or says who or what stands in the way. It is pure: the same input gives the
// same grant, so explain can show what create would do.
func Decide(classes map[string]Class, layout Layout, host Host, ledger *Ledger, request Request) (Grant, error) {
	terms, err := Resolve(classes, request)
	if err != nil {
		return Grant{}, err
	}
	cpus, idle, err := allocate(layout, host.Topology, ledger.Grants, request, terms)
	if err != nil {
		return Grant{}, err
	}
	mems, err := memory(host.Topology, cpus, request)
	if err != nil {
		return Grant{}, err
	}
	grant := Grant{
		Key: request.Key, Name: request.Name, Class: terms.Class.Name,
		CPUs: CPUsOf(cpus), Idle: CPUsOf(idle), Mems: CPUsOf(mems),
		Policy: terms.Policy, Priority: terms.Priority, Nice: terms.Nice, Deadline: terms.Deadline, IRQ: terms.IRQ, SMT: terms.SMT,
		Power: terms.Power, Asked: Asked{CPUs: request.CPUs, Mems: request.Mems, Quota: max(request.Quota, 0)},
	}
	if len(terms.Claim) > 0 {
		grant.Claim, grant.Claimable = terms.Claim, terms.Class.IRQClaim
		if err := checkClaim(grant, host, ledger); err != nil {
			return Grant{}, err
		}
	}
	if err := lendForExec(&grant, terms.Class, layout, ledger); err != nil {
		return Grant{}, err
	}
	if err := setLevel(&grant, layout, host, request, terms); err != nil {
		return Grant{}, err
	}
	if terms.Policy.HasPriority() {
		grant.Budget = budgetShare(host.Budget, request.Budget, cpus.Size(), layout.Pool.Size())
	}
	return grant, nil
}

// memory gives the nodes next to the CPUs. An engine that offered more is taken at its word for these; one that asked
// for others asked for something that this grant is not.
func memory(topo Topology, cpus cpuset.CPUSet, request Request) (cpuset.CPUSet, error) {
	local := topo.NodesOf(cpus)
	if request.Mems == "" {
		return local, nil
	}
	asked, err := ParseCPUs(request.Mems)
	if err != nil {
		return local, fmt.Errorf("linux.resources.cpu.mems = %q is not a list of memory nodes", request.Mems)
	}
	if !local.IsSubsetOf(asked.CPUSet) {
		return local, fmt.Errorf("container %s asks for memory node %s (linux.resources.cpu.mems), but its CPUs %s are next to node %s: leave mems out, or choose CPUs there",
			request.Name, asked, cpus, local)
	}
	return local, nil
}

// budgetShare gives a grant its part of the root's real-time budget. The kernel wants the sum of all groups' shares,
// whatever CPUs they run on, to stay below the root's (sched_rt_runtime_us, 95 %): so each CPU of the pool stands for
// an equal part, and the last container of a full pool still finds its own.
func budgetShare(root, asked Budget, cpus, pool int) Budget {
	if root.Period == 0 {
		return Budget{}
	}
	if asked.Runtime > 0 {
		if asked.Period == 0 {
			asked.Period = root.Period
		}
		return asked
	}
	total := root.Runtime
	if total < 0 { // RT throttling is off: the kernel counts that as all of the period
		total = root.Period
	}
	return Budget{Runtime: total * int64(cpus) / int64(max(pool, cpus)) / 1000 * 1000, Period: root.Period}
}

func allocate(layout Layout, topo Topology, grants []Grant, request Request, terms Terms) (cpus, idle cpuset.CPUSet, err error) {
	free := layout.Pool.Difference(takenBy(grants))
	if !terms.Explicit.IsEmpty() {
		return explicitSet(layout, topo, grants, free, request, terms)
	}
	if layout.Pool.IsEmpty() {
		return cpus, idle, fmt.Errorf("container %s asks for %s of class %s; this host has no CPU to shield (CPUs %s all keep house): set [layout] shield, or use a host with more CPUs",
			request.Name, countCPUs(terms.Count), terms.Class.Name, layout.Housekeeping)
	}
	if terms.Count > layout.Pool.Size() {
		return cpus, idle, fmt.Errorf("container %s asks for %s of class %s; the shield has %d (%s): ask for fewer, or widen [layout] shield",
			request.Name, countCPUs(terms.Count), terms.Class.Name, layout.Pool.Size(), layout.Pool)
	}
	cpus, ok := pick(topo, free, terms.Count, terms.SMT)
	if !ok {
		return cpus, idle, shortage(layout, grants, free, request, terms)
	}
	return cpus, siblingsToIdle(layout, topo, cpus, terms.SMT), nil
}

// explicitSet checks a set named by hand against the same rules as an allocated one.
func explicitSet(layout Layout, topo Topology, grants []Grant, free cpuset.CPUSet, request Request, terms Terms) (cpus, idle cpuset.CPUSet, err error) {
	asked := terms.Explicit
	if outside := asked.Difference(layout.Pool.CPUSet); !outside.IsEmpty() {
		return cpus, idle, fmt.Errorf("container %s asks for CPU %s; CPU %s is not in the shield (%s): choose from it, or widen [layout] shield",
			request.Name, asked, outside, orNone(layout.Pool))
	}
	if taken := asked.Difference(free); !taken.IsEmpty() {
		return cpus, idle, fmt.Errorf("container %s asks for CPU %s; CPU %s is taken (%s): stop one, or choose from %s",
			request.Name, asked, taken, Holders(grants), orNone(CPUsOf(free)))
	}
	idle = siblingsToIdle(layout, topo, asked, terms.SMT)
	switch terms.SMT {
	case SMTIsolate:
		for _, core := range topo.Cores {
			if both := core.Intersection(asked); both.Size() > 1 {
				return cpus, idle, fmt.Errorf("container %s asks for CPUs %s, threads of one core, but smt is isolate: choose one thread of each core, or smt prefer",
					request.Name, both)
			}
		}
		if taken := idle.Difference(free); !taken.IsEmpty() {
			return cpus, idle, fmt.Errorf("container %s asks for CPU %s with smt isolate; its sibling %s is taken (%s)",
				request.Name, asked, taken, Holders(grants))
		}
	case SMTRequire:
		if missing := topo.Siblings(asked).Difference(asked); !missing.IsEmpty() {
			return cpus, idle, fmt.Errorf("container %s asks for CPU %s with smt require; sibling %s is missing: ask for whole cores",
				request.Name, asked, missing)
		}
	}
	return asked, idle, nil
}

// siblingsToIdle gives the siblings in the pool that must stay without work. Those outside of the pool do
// housekeeping, which an administrator chose who cut a core in two.
func siblingsToIdle(layout Layout, topo Topology, cpus cpuset.CPUSet, smt string) cpuset.CPUSet {
	if smt != SMTIsolate {
		return cpuset.New()
	}
	return topo.Siblings(cpus).Difference(cpus).Intersection(layout.Pool.CPUSet)
}

func heldBy(grants []Grant) cpuset.CPUSet {
	held := cpuset.New()
	for _, grant := range grants {
		held = held.Union(grant.Held().CPUSet)
	}
	return held
}

// Holders names who has what: "2-3: rt-a, 4-5: rt-b".
func Holders(grants []Grant) string {
	sorted := append([]Grant(nil), grants...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Held().String() < sorted[j].Held().String() })
	parts := make([]string, len(sorted))
	for i, grant := range sorted {
		parts[i] = grant.Held().String() + ": " + grant.Name
	}
	return strings.Join(parts, ", ")
}

func shortage(layout Layout, grants []Grant, free cpuset.CPUSet, request Request, terms Terms) error {
	verb := "are"
	if free.Size() == 1 {
		verb = "is"
	}
	what := fmt.Sprintf("container %s asks for %s of class %s; %d of %d in the shield %s free",
		request.Name, countCPUs(terms.Count), terms.Class.Name, free.Size(), layout.Pool.Size(), verb)
	remedy := ""
	if len(grants) > 0 {
		what += " (" + Holders(grants) + ")"
		remedy = "stop one, "
	}
	if free.Size() >= terms.Count { // enough threads, but not as smt wants them
		return fmt.Errorf("%s, but not as whole cores, which smt %s wants: %sask for fewer, or smt prefer", what, terms.SMT, remedy)
	}
	if free.Size() > 0 {
		remedy += fmt.Sprintf("ask for %d, ", free.Size())
	}
	return fmt.Errorf("%s: %sor widen [layout] shield", what, remedy)
}

func countCPUs(n int) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

func orNone(cpus CPUs) string {
	if cpus.IsEmpty() {
		return "none"
	}
	return cpus.String()
}
