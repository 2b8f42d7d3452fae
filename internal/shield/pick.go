package shield

import (
	"sort"

	"k8s.io/utils/cpuset"
)

// pick chooses n CPUs of free: all on one NUMA node if any has them (the one that they fill best, so that small grants
// do not break up the last whole node), else over nodes; within a node as smt says.
//
// Distance, L3 domains and core types come with the placement policies; this is their place.
func pick(topo Topology, free cpuset.CPUSet, n int, smt string) (cpuset.CPUSet, bool) {
	type candidate struct {
		cpus cpuset.CPUSet
		left int
		node int
	}
	var best *candidate
	for _, node := range nodesInOrder(topo) {
		members := free.Intersection(topo.Nodes[node])
		cpus, ok := pickCores(topo, members, n, smt)
		if !ok {
			continue
		}
		if found := (candidate{cpus, members.Size() - n, node}); best == nil || found.left < best.left {
			best = &found
		}
	}
	if best != nil {
		return best.cpus, true
	}
	return pickCores(topo, free, n, smt)
}

func nodesInOrder(topo Topology) []int {
	nodes := make([]int, 0, len(topo.Nodes))
	for node := range topo.Nodes {
		nodes = append(nodes, node)
	}
	sort.Ints(nodes)
	return nodes
}

// pickCores chooses n CPUs of free with Nova's thread policies: isolate takes one thread of each wholly free core,
// require takes whole cores, prefer takes whole cores as far as they go and then what is left, fullest use first.
func pickCores(topo Topology, free cpuset.CPUSet, n int, smt string) (cpuset.CPUSet, bool) {
	var whole, broken []cpuset.CPUSet
	for _, core := range topo.Cores {
		threads := core.Intersection(free)
		switch {
		case threads.IsEmpty():
		case threads.Equals(core):
			whole = append(whole, core)
		default:
			broken = append(broken, threads)
		}
	}
	chosen := cpuset.New()
	switch smt {
	case SMTIsolate:
		for _, core := range whole {
			if chosen.Size() == n {
				break
			}
			chosen = chosen.Union(cpuset.New(core.List()[0]))
		}
		return chosen, chosen.Size() == n
	case SMTRequire:
		for _, core := range whole {
			if chosen.Size()+core.Size() <= n {
				chosen = chosen.Union(core)
			}
		}
		return chosen, chosen.Size() == n
	}
	for _, core := range whole {
		if chosen.Size()+core.Size() <= n {
			chosen = chosen.Union(core)
		}
	}
	for _, threads := range append(broken, whole...) {
		for _, cpu := range threads.Difference(chosen).List() {
			if chosen.Size() < n {
				chosen = chosen.Union(cpuset.New(cpu))
			}
		}
	}
	return chosen, chosen.Size() == n
}
