package shield

import (
	"fmt"

	"k8s.io/utils/cpuset"
)

// check holds a set that was named by hand, or by the engine, to the rules that an allocated one keeps, and gives the
// siblings that stay idle beside it.
func check(layout Layout, topo Topology, holders string, free cpuset.CPUSet, container string, terms Terms, near cpuset.CPUSet) (idle cpuset.CPUSet, err error) {
	asked := terms.Explicit
	if outside := asked.Difference(layout.Pool.CPUSet); !outside.IsEmpty() {
		return idle, fmt.Errorf("container %s asks for CPU %s; CPU %s is not in the shield (%s): choose from it, or widen [layout] shield",
			container, asked, outside, orNone(layout.Pool))
	}
	if taken := asked.Difference(free); !taken.IsEmpty() {
		return idle, fmt.Errorf("container %s asks for CPU %s; CPU %s is taken (%s): stop one, or choose from %s",
			container, asked, taken, holders, orNone(CPUsOf(free)))
	}
	for _, rule := range []func() error{
		func() error { return checkSMT(layout, topo, holders, free, container, terms) },
		func() error { return checkNUMA(topo, container, terms, near) },
	} {
		if err := rule(); err != nil {
			return idle, err
		}
	}
	return siblingsToIdle(topo, asked, terms.SMT), nil
}

func checkSMT(layout Layout, topo Topology, holders string, free cpuset.CPUSet, container string, terms Terms) error {
	asked := terms.Explicit
	siblings := topo.Siblings(asked).Difference(asked)
	switch terms.SMT {
	case SMTIsolate:
		for _, core := range topo.Cores {
			if both := core.Intersection(asked); both.Size() > 1 {
				return fmt.Errorf("container %s asks for CPUs %s, threads of one core, but smt is isolate (class %s): choose one thread of each core, or smt prefer",
					container, both, terms.Class.Name)
			}
		}
		if outside := siblings.Difference(layout.Pool.CPUSet); !outside.IsEmpty() {
			return fmt.Errorf("container %s asks for CPU %s with smt isolate (class %s), but sibling %s keeps house: put whole cores into [layout] shield, or smt prefer",
				container, asked, terms.Class.Name, outside)
		}
		if taken := siblings.Difference(free); !taken.IsEmpty() {
			return fmt.Errorf("container %s asks for CPU %s with smt isolate (class %s), but sibling %s is taken (%s): stop one, choose another, or smt prefer",
				container, asked, terms.Class.Name, taken, holders)
		}
	case SMTRequire:
		if !siblings.IsEmpty() {
			return fmt.Errorf("container %s asks for CPU %s with smt require (class %s), but sibling %s is missing: ask for whole cores",
				container, asked, terms.Class.Name, siblings)
		}
	}
	return nil
}

func checkNUMA(topo Topology, container string, terms Terms, near cpuset.CPUSet) error {
	nodes := topo.NodesOf(terms.Explicit)
	switch {
	case terms.NUMA != NUMASingle:
		return nil
	case nodes.Size() > 1:
		return fmt.Errorf("container %s asks for CPU %s, on nodes %s, but numa is single (class %s): choose CPUs of one node, or numa prefer",
			container, terms.Explicit, nodes, terms.Class.Name)
	case !near.IsEmpty() && !nodes.IsSubsetOf(near):
		return fmt.Errorf("container %s asks for CPU %s, on node %s, but near is %s, on node %s, and numa single (class %s): choose CPUs there, or numa prefer",
			container, terms.Explicit, nodes, terms.Near, near, terms.Class.Name)
	}
	return nil
}
