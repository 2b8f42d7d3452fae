package shield

import (
	"fmt"

	"k8s.io/utils/cpuset"
)

// Topology is what the allocation needs to know of a machine. internal/host has the same struct and fills it from
// sysfs; the two are converted, so that neither package imports the other.
type Topology struct {
	Online cpuset.CPUSet
	// Isolated holds the CPUs of the boot options isolcpus= and nohz_full=.
	Isolated cpuset.CPUSet
	// Cores holds the online thread siblings of every core, in order of their first CPU.
	Cores []cpuset.CPUSet
	// Clusters, Caches and Dies hold the online CPUs that share one; Caches the last level of cache, which is L3 on most
	// machines. Empty where it tells nothing that cores and nodes do not.
	Clusters, Caches, Dies []cpuset.CPUSet
	// Kinds holds the CPUs of each kind of core, the fastest first. Empty where all are alike.
	Kinds []cpuset.CPUSet
	// Nodes holds the online CPUs of every NUMA node, by node number.
	Nodes map[int]cpuset.CPUSet
	// Distances is the firmware's table, from node to node, where 10 is a node's own memory. Empty with one node.
	Distances map[int]map[int]int
	// Memory holds the nodes that have memory. Empty: all.
	Memory cpuset.CPUSet
}

// Siblings gives the CPUs that share a core with any of cpus, cpus included.
func (t Topology) Siblings(cpus cpuset.CPUSet) cpuset.CPUSet {
	all := cpus.UnsortedList()
	for _, core := range t.Cores {
		if meets(core, cpus) {
			all = append(all, core.UnsortedList()...)
		}
	}
	return cpuset.New(all...)
}

// NodesOf gives the NUMA nodes that cpus are on.
func (t Topology) NodesOf(cpus cpuset.CPUSet) cpuset.CPUSet {
	var nodes []int
	for node, members := range t.Nodes {
		if meets(members, cpus) {
			nodes = append(nodes, node)
		}
	}
	return cpuset.New(nodes...)
}

// MemoryOf gives the nodes whose memory is next to cpus: their own, or the nearest to one that has none.
func (t Topology) MemoryOf(cpus cpuset.CPUSet) cpuset.CPUSet {
	own := t.NodesOf(cpus)
	if t.Memory.IsEmpty() || own.IsSubsetOf(t.Memory) {
		return own
	}
	with := own.Intersection(t.Memory).List()
	for _, node := range own.Difference(t.Memory).List() {
		nearest := t.Memory.List()[0]
		for _, other := range t.Memory.List() {
			if t.distance(node, other) < t.distance(node, nearest) {
				nearest = other
			}
		}
		with = append(with, nearest)
	}
	return cpuset.New(with...)
}

// Node distances as the firmware tells them; those that it does not tell are as the kernel takes them to be.
const (
	local  = 10
	remote = 20
)

func (t Topology) distance(from, to int) int {
	if d, told := t.Distances[from][to]; told {
		return d
	}
	if from == to {
		return local
	}
	return remote
}

// meets says whether two sets have a CPU in common, without making a third.
func meets(a, b cpuset.CPUSet) bool {
	if b.Size() < a.Size() {
		a, b = b, a
	}
	for _, cpu := range a.UnsortedList() {
		if b.Contains(cpu) {
			return true
		}
	}
	return false
}

// Layout is how a host's CPUs are split.
type Layout struct {
	// Housekeeping CPUs do all ordinary work. Never empty.
	Housekeeping CPUs `json:"housekeeping"`
	// Pool holds the CPUs that can be granted.
	Pool CPUs `json:"pool"`
	// Source says where the pool comes from, for people.
	Source string `json:"source"`
	// ReserveAlways keeps ordinary containers off the whole pool, even while nobody has it.
	ReserveAlways bool `json:"reserveAlways"`
	// Exempt names tasks that are never moved off granted CPUs.
	Exempt []string `json:"exempt,omitempty"`
	// Level is the strongest that may be used. Empty: what can be had.
	Level string `json:"level,omitempty"`
}

// LayoutSpec is the [layout] table of the policy file.
type LayoutSpec struct {
	// Shield is "auto" or a CPU list. Empty means auto.
	Shield string
	// Reserve is "on-demand" or "always". Empty means on-demand.
	Reserve string
	// CPUsFrom is "auto", "rtshield" or "engine". Empty means auto.
	CPUsFrom string
	// Kubelet is the directory of the kubelet's state. Empty means DefaultKubelet.
	Kubelet string
	// Level is "auto" or the strongest level that rtshield may use: affinity where the cgroups of others are somebody
	// else's to write. Empty means auto.
	Level  string
	Exempt []string
}

// NewLayout splits the online CPUs as spec says.
//
// auto takes the CPUs of isolcpus= and nohz_full=, else all but the first core with its siblings. A pool written by
// hand may hold CPU 0, which is never taken otherwise; it must leave one online CPU for housekeeping.
func NewLayout(spec LayoutSpec, topo Topology) (Layout, error) {
	layout := Layout{ReserveAlways: spec.Reserve == "always", Exempt: spec.Exempt, Level: spec.Level}
	var pool cpuset.CPUSet
	switch {
	case spec.Shield != "" && spec.Shield != "auto":
		asked, err := ParseCPUs(spec.Shield)
		if err != nil {
			return Layout{}, fmt.Errorf("[layout] shield: %w", err)
		}
		if missing := asked.Difference(topo.Online); !missing.IsEmpty() {
			return Layout{}, fmt.Errorf("[layout] shield = %q: CPU %s is not online (online: %s)", spec.Shield, missing, topo.Online)
		}
		if topo.Online.IsSubsetOf(asked.CPUSet) {
			return Layout{}, fmt.Errorf("[layout] shield = %q: no CPU of %s is left for housekeeping: leave one out", spec.Shield, topo.Online)
		}
		pool, layout.Source = asked.CPUSet, "[layout] shield"
	case !topo.Isolated.Intersection(topo.Online).IsEmpty():
		pool, layout.Source = withoutFirst(topo.Isolated.Intersection(topo.Online), topo), "boot options isolcpus= and nohz_full="
	default:
		first := cpuset.New(0)
		if len(topo.Cores) > 0 {
			first = topo.Cores[0]
		}
		pool, layout.Source = withoutFirst(topo.Online.Difference(first), topo), "automatic: all but the first core"
	}
	layout.Pool = CPUsOf(pool)
	layout.Housekeeping = CPUsOf(topo.Online.Difference(pool))
	return layout, nil
}

// withoutFirst keeps CPU 0 and the last housekeeping CPU out of an automatic pool.
func withoutFirst(pool cpuset.CPUSet, topo Topology) cpuset.CPUSet {
	pool = pool.Difference(cpuset.New(0))
	if topo.Online.IsSubsetOf(pool) && !pool.IsEmpty() {
		pool = pool.Difference(cpuset.New(pool.List()[0]))
	}
	return pool
}
