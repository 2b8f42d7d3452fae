package shield

import (
	"fmt"
	"strings"

	"k8s.io/utils/cpuset"
)

// A container can be part real-time, part ordinary: realtime-mask names the positions within its CPUs that stay ordinary, as
// OpenStack Nova's hw:cpu_realtime_mask does. Its first process, what exec adds, and threads without a rule run on these under
// SCHED_OTHER; the others are entered by thread rules, or by the program itself.

// The words of class option ordinary: where the ordinary part is. Nova's emulator_threads_policy calls them isolate and share.
const (
	OrdinaryDedicated    = "dedicated"
	OrdinaryHousekeeping = "housekeeping"
)

// RealtimeMask is one that was held to the container's CPUs. The zero value is none.
type RealtimeMask struct {
	// Text is the mask as written.
	Text string
	// Positions are those of the ordinary CPUs.
	Positions cpuset.CPUSet
	// Shared: they are housekeeping CPUs and none of the pool. Named are those that a cpuset by hand has at the positions.
	Shared bool
	Named  cpuset.CPUSet
}

// parseMask reads "^0", "^0-1,^3" (all but these are real-time) or "2-3" (these are), and gives the ordinary positions.
func parseMask(text string, count int) (ordinary cpuset.CPUSet, err error) {
	all := positions(count)
	realTime, excluded := cpuset.New(), cpuset.New()
	if strings.HasPrefix(text, "^") {
		realTime = all
	}
	for part := range strings.SplitSeq(text, ",") {
		list, exclude := strings.CutPrefix(strings.TrimSpace(part), "^")
		set, err := ParseCPUs(list)
		switch {
		case err != nil || set.IsEmpty():
			return all, fmt.Errorf("%q: expected positions within the container's CPUs, ordinary ones behind ^, such as ^0 or ^0-1", text)
		case !set.IsSubsetOf(all):
			return all, fmt.Errorf("%q names position %s; the container has %s: positions 0-%d", text, set.Difference(all), countCPUs(count), count-1)
		case exclude:
			excluded = excluded.Union(set.CPUSet)
		default:
			realTime = realTime.Union(set.CPUSet)
		}
	}
	realTime = realTime.Difference(excluded)
	switch {
	case realTime.IsEmpty():
		return all, fmt.Errorf("%q leaves no real-time CPU of %s: ask for more CPUs (%s/%s), or mask fewer", text, countCPUs(count), Domain, KeyCPUs)
	case realTime.Equals(all):
		return all, fmt.Errorf("%q leaves no ordinary CPU: name one behind ^, or leave the mask out", text)
	}
	return all.Difference(realTime), nil
}

func positions(count int) cpuset.CPUSet {
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	return cpuset.New(all...)
}

// at gives the CPUs at these positions, in the order of their numbers.
func at(cpus, positions cpuset.CPUSet) cpuset.CPUSet {
	var found []int
	for position, cpu := range cpus.List() {
		if positions.Contains(position) {
			found = append(found, cpu)
		}
	}
	return cpuset.New(found...)
}

// chooseMask takes shared ordinary CPUs out of what is to be allocated.
func chooseMask(terms *Terms, request Request) error {
	choice, ok := request.Choices[KeyRealtimeMask]
	if !ok {
		return nil
	}
	if !terms.Policy.HasPriority() {
		return fmt.Errorf("annotation %s divides a container of policy fifo or rr; class %s gives this one %s: leave it out, or use another class",
			choice.Source, terms.Class.Name, terms.Policy)
	}
	ordinary, err := parseMask(choice.Value, terms.Count)
	if err != nil {
		return fmt.Errorf("annotation %s = %w", choice.Source, err)
	}
	terms.Mask = RealtimeMask{Text: choice.Value, Positions: ordinary, Shared: terms.Class.Ordinary == OrdinaryHousekeeping}
	if terms.Mask.Shared {
		terms.Mask.Named = at(terms.Explicit, ordinary)
		terms.Explicit = terms.Explicit.Difference(terms.Mask.Named)
		terms.Count -= ordinary.Size()
	}
	return nil
}

// divide gives the grant its ordinary part.
func divide(grant *Grant, terms Terms, layout Layout, topo Topology, ledger *Ledger) error {
	mask := terms.Mask
	if mask.Text == "" {
		return nil
	}
	if mask.Shared {
		ordinary, err := sharedPart(grant, terms, layout, ledger)
		if err != nil {
			return err
		}
		grant.Ordinary = CPUsOf(ordinary)
	} else {
		grant.Ordinary, grant.House = CPUsOf(at(grant.CPUs.CPUSet, mask.Positions)), layout.Housekeeping
		if beside := topo.Siblings(grant.Ordinary.CPUSet).Intersection(grant.RealTimePart()); !beside.IsEmpty() {
			grant.Limits = append(grant.Limits, Limit{
				What: fmt.Sprintf("real-time CPU %s shares a core with ordinary CPU %s", beside, topo.Siblings(beside).Intersection(grant.Ordinary.CPUSet)),
				Why:  "realtime-mask " + mask.Text + " parts threads of one core", Help: "mask whole cores, or smt isolate",
			})
		}
	}
	grant.ExecCPUs = grant.Ordinary
	grant.Policy, grant.Priority = Other, 0
	return nil
}

// sharedPart chooses the housekeeping CPUs of the ordinary part: all that nobody holds, or those named by hand.
func sharedPart(grant *Grant, terms Terms, layout Layout, ledger *Ledger) (cpuset.CPUSet, error) {
	// A layout that was edited since may have given some of them away.
	house := layout.Housekeeping.Difference(ledger.Held()).Difference(grant.Held().CPUSet)
	named := terms.Mask.Named
	switch {
	case house.IsEmpty():
		return house, fmt.Errorf("container %s: class %s shares the ordinary part with housekeeping CPUs (ordinary), and others hold all of them (%s): stop one, or set ordinary = %q",
			grant.Name, terms.Class.Name, Holders(ledger.Grants), OrdinaryDedicated)
	case named.IsEmpty():
		return house, nil
	case !named.IsSubsetOf(house):
		return house, fmt.Errorf("container %s names CPU %s for its ordinary part (realtime-mask %s), and class %s shares that with housekeeping CPUs %s (ordinary): name one of these, or set ordinary = %q",
			grant.Name, named.Difference(house), terms.Mask.Text, terms.Class.Name, house, OrdinaryDedicated)
	}
	return named, nil
}

// ExecFrom gives the CPUs that what exec adds is told to run on before it is in the container's cgroup. There it may not be on
// the container's own (EINVAL), so it is told housekeeping CPUs beside them: since Linux 6.2 the kernel remembers all that a
// thread was told, so that from the first moment in the container's cgroup it is on the ordinary part.
func (g Grant) ExecFrom() CPUs { return CPUsOf(g.ExecCPUs.Union(g.House.CPUSet)) }

// RealTimePart gives the CPUs that thread rules count their positions in: all of the container's but the ordinary ones.
func (g Grant) RealTimePart() cpuset.CPUSet { return g.CPUs.Difference(g.Ordinary.CPUSet) }

// Belongs gives the CPUs that a thread of the container is brought back to which has strayed.
func (g Grant) Belongs(realTime bool) CPUs {
	if g.Mask != "" && realTime {
		return CPUsOf(g.RealTimePart())
	}
	return g.Home()
}

// Home gives the CPUs that the container's first process starts on.
func (g Grant) Home() CPUs {
	if g.Ordinary.IsEmpty() {
		return g.CPUs
	}
	return g.Ordinary
}
