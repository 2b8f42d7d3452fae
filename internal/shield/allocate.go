package shield

import (
	"errors"
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
	// NoFairServer says why its CPUs have none that can be set, for a request that bounds real-time threads. Empty: they have.
	NoFairServer string
	// Level is the strongest that its kernel and cgroups allow, Weaker why it is not a stronger one.
	Level, Weaker string
	// Local: only a cgroup right below the root can be a partition (Linux before 6.7).
	Local bool
	// Cpusets: there is a cpuset controller. Without one the hook sets the container's affinity.
	Cpusets bool
	// Interrupts holds the names of each, for a request that claims some.
	Interrupts map[int][]string
	// Near are the nodes of what the request wants to be near. Empty: it says nothing, or every node is as near.
	Near cpuset.CPUSet
	// Given are CPUs that a kubelet gave to other pods.
	Given cpuset.CPUSet
	// HugePages are the pools of huge pages, for a request that asks for some.
	HugePages PagePools
	// Cache is what the L3 can be divided into, for a class that wants ways of it.
	Cache Cache
}

// Decide turns a request into a grant, or says who or what stands in the way. It is pure: the same input gives the
// same grant, so explain can show what create would do.
func Decide(classes map[string]Class, layout Layout, host Host, ledger *Ledger, request Request) (Grant, error) {
	terms, err := Resolve(classes, request)
	if err != nil {
		return Grant{}, err
	}
	host.Budget = granted(host.Budget, classes)
	if err := terms.keepWhole(host.Topology, request); err != nil {
		return Grant{}, err
	}
	found, err := choose(layout, host, ledger.Grants, request, terms)
	if err != nil {
		return Grant{}, err
	}
	cpus, mems := found.cpus, found.mems
	grant := Grant{
		Key: request.Key, Name: request.Name, Class: terms.Class.Name,
		CPUs: CPUsOf(cpus), Idle: CPUsOf(found.idle), Mems: CPUsOf(mems),
		Policy: terms.Policy, Priority: terms.Priority, Nice: terms.Nice, Deadline: terms.Deadline, IRQ: terms.IRQ, SMT: terms.SMT,
		NUMA: terms.NUMA, Near: terms.Near.String(), NearNodes: CPUsOf(host.Near), won: found.won, HugePages: found.pages,
		Pod: request.Pod, From: request.From, LeaveHelper: terms.Class.Helpers == HelpersLeave,
		Power: terms.Power, Mask: terms.Mask.Text, Threads: terms.Threads, Asked: Asked{CPUs: request.CPUs, Mems: request.Mems, Quota: max(request.Quota, 0)},
	}
	if nodes := host.Topology.NodesOf(cpus); !host.Near.IsEmpty() && !nodes.IsSubsetOf(host.Near) {
		grant.Limits = append(grant.Limits, Limit{
			What: "it is not near " + grant.Near, Why: fmt.Sprintf("that is on node %s, and CPU %s on node %s", host.Near, cpus, nodes),
			Help: "numa single refuses such CPUs",
		})
	}
	if len(terms.Claim) > 0 {
		grant.Claim, grant.Claimable = terms.Claim, terms.Class.IRQClaim
		if err := checkClaim(grant, host, ledger); err != nil {
			return Grant{}, err
		}
	}
	if grant.Ways, err = chooseWays(host, ledger.Grants, cpus, request, terms); err != nil {
		return Grant{}, err
	}
	if err := lendForExec(&grant, terms, layout, ledger); err != nil {
		return Grant{}, err
	}
	if err := divide(&grant, terms, layout, host.Topology, ledger); err != nil {
		return Grant{}, err
	}
	if err := setLevel(&grant, layout, host, request, terms); err != nil {
		return Grant{}, err
	}
	if terms.Policy.HasPriority() {
		grant.Budget = budgetShare(host.Budget, request.Budget, cpus.Size(), layout.Pool.Size())
	}
	if grant.Share, err = request.Share(cpus.Size()); err != nil {
		return Grant{}, err
	}
	if err := boundRealTime(&grant, layout, host, ledger, request, terms); err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// memory gives the nodes next to the CPUs. An engine that offered more is taken at its word for these; one that asked
// for others asked for something that this grant is not.
func memory(topo Topology, cpus cpuset.CPUSet, request Request) (cpuset.CPUSet, error) {
	local := topo.MemoryOf(cpus)
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
	return Budget{Runtime: rootRuntime(root) * int64(cpus) / int64(max(pool, cpus)) / 1000 * 1000, Period: root.Period}
}

// found is what was chosen for a request, or named by it and accepted.
type found struct {
	cpus, idle cpuset.CPUSet
	// won are the comparisons that chose it.
	won []contest
	// mems are the memory nodes next to it, pages the huge pages there.
	mems  cpuset.CPUSet
	pages []PageShare
}

// choose finds CPUs, their memory, and the huge pages there. Where those are on other nodes than the first choice, it looks
// for CPUs there.
func choose(layout Layout, host Host, grants []Grant, request Request, terms Terms) (found, error) {
	chosen, err := chooseOnce(layout, host, grants, request, terms)
	var short *noPagesError
	if !errors.As(err, &short) || !terms.Explicit.IsEmpty() || !host.Near.IsEmpty() {
		return chosen, err
	}
	if host.Near = nodesWithPages(host, grants, terms); !host.Near.IsEmpty() {
		terms.NUMA = NUMASingle
		if elsewhere, err := chooseOnce(layout, host, grants, request, terms); err == nil {
			return elsewhere, nil
		}
	}
	return chosen, err
}

func chooseOnce(layout Layout, host Host, grants []Grant, request Request, terms Terms) (found, error) {
	chosen, err := allocate(layout, host, grants, request, terms)
	if err != nil {
		return chosen, err
	}
	if chosen.mems, err = memory(host.Topology, chosen.cpus, request); err != nil {
		return chosen, err
	}
	chosen.pages, err = sharePages(host, grants, chosen.cpus, chosen.mems, request, terms)
	return chosen, err
}

func allocate(layout Layout, host Host, grants []Grant, request Request, terms Terms) (found, error) {
	topo := host.Topology
	free := layout.Pool.Difference(takenBy(topo, grants)).Difference(host.Given)
	if !terms.Explicit.IsEmpty() {
		idle, err := check(layout, topo, holders(grants, host.Given), free, request.Name, terms, host.Near)
		if err != nil && request.From == FromEngine && !terms.Explicit.IsSubsetOf(layout.Pool.CPUSet) {
			err = fmt.Errorf("%w; the kubelet chose it: its reservedSystemCPUs should be %s", err, layout.Housekeeping)
		}
		return found{cpus: terms.Explicit, idle: idle}, err
	}
	if layout.Pool.IsEmpty() {
		return found{}, fmt.Errorf("container %s asks for %s of class %s; this host has no CPU to shield (CPUs %s all keep house): set [layout] shield, or use a host with more CPUs",
			request.Name, countCPUs(terms.Count), terms.Class.Name, layout.Housekeeping)
	}
	if terms.Count > layout.Pool.Size() {
		return found{}, fmt.Errorf("container %s asks for %s of class %s; the shield has %d (%s): ask for fewer, or widen [layout] shield",
			request.Name, countCPUs(terms.Count), terms.Class.Name, layout.Pool.Size(), layout.Pool)
	}
	spot := newPlacer(topo, terms, host.Near, free).choose()
	if spot == nil {
		return found{}, shortage(layout, host, grants, free, request, terms)
	}
	cpus := cpuset.New(spot.cpus...)
	return found{cpus: cpus, idle: siblingsToIdle(topo, cpus, terms.SMT), won: spot.won}, nil
}

// siblingsToIdle gives the siblings that must stay without work.
func siblingsToIdle(topo Topology, cpus cpuset.CPUSet, smt string) cpuset.CPUSet {
	if smt != SMTIsolate {
		return cpuset.New()
	}
	return topo.Siblings(cpus).Difference(cpus)
}

// takenBy gives the CPUs that a new grant cannot have: those that others hold, those of what exec adds to them, and what has
// come online beside a thread that is to have its core alone.
func takenBy(topo Topology, grants []Grant) cpuset.CPUSet {
	var taken, alone []int
	for _, grant := range grants {
		taken = append(taken, grant.ExecCPUs.UnsortedList()...)
		if grant.SMT == SMTIsolate {
			alone = append(alone, grant.CPUs.UnsortedList()...)
		}
	}
	return heldBy(grants).Union(cpuset.New(taken...)).Union(topo.Siblings(cpuset.New(alone...)))
}

func heldBy(grants []Grant) cpuset.CPUSet {
	var held []int
	for _, grant := range grants {
		held = append(held, grant.Held().UnsortedList()...)
	}
	return cpuset.New(held...)
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

// holders is Holders with what a kubelet gave away.
func holders(grants []Grant, given cpuset.CPUSet) string {
	who := Holders(grants)
	if given.IsEmpty() {
		return who
	}
	if who != "" {
		who += ", "
	}
	return who + given.String() + ": pods of the kubelet"
}

func shortage(layout Layout, host Host, grants []Grant, free cpuset.CPUSet, request Request, terms Terms) error {
	verb := "are"
	if free.Size() == 1 {
		verb = "is"
	}
	what := fmt.Sprintf("container %s asks for %s of class %s; %d of %d in the shield %s free",
		request.Name, countCPUs(terms.Count), terms.Class.Name, free.Size(), layout.Pool.Size(), verb)
	remedy := ""
	if who := holders(grants, host.Given); who != "" {
		what += " (" + who + ")"
		remedy = "stop one, "
	}
	if free.Size() >= terms.Count { // enough threads, but not as smt or numa wants them
		return fmt.Errorf("%s, but not %s", what, misfit(host, free, terms, remedy))
	}
	if free.Size() > 0 {
		remedy += fmt.Sprintf("ask for %d, ", free.Size())
	}
	return fmt.Errorf("%s: %sor widen [layout] shield", what, remedy)
}

// misfit says which rule the free CPUs do not fit, and what would help.
func misfit(host Host, free cpuset.CPUSet, terms Terms, remedy string) string {
	anywhere := terms
	anywhere.NUMA = NUMAPrefer
	if newPlacer(host.Topology, anywhere, host.Near, free).choose() == nil {
		return fmt.Sprintf("as whole cores, which smt %s wants: %sask for fewer, or smt prefer", terms.SMT, remedy)
	}
	where := "on one node"
	if !host.Near.IsEmpty() {
		where = fmt.Sprintf("on node %s of %s", host.Near, terms.Near)
	}
	var parts []string
	for _, node := range nodesInOrder(host.Topology) {
		parts = append(parts, fmt.Sprintf("node %d: %s", node, orNone(CPUsOf(free.Intersection(host.Topology.Nodes[node])))))
	}
	return fmt.Sprintf("%s, which numa single wants (free on %s): %sask for fewer, or numa prefer", where, strings.Join(parts, "; "), remedy)
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
