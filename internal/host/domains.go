package host

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Domains adds what CPUs share beyond their core: caches, clusters, dies, and how far nodes are from each other. One file
// is read for each domain, none for each CPU, and none at all for a level whose first domain is no other than its core,
// its cache or its node. Files that a kernel does not have tell nothing (clusters: Linux 5.16).
func (r Root) Domains(topo *Topology, cpus cpuset.CPUSet) error {
	cpus = cpus.Intersection(topo.Online)
	if cpus.Size() < 2 {
		return nil
	}
	var err error
	if topo.Kinds, err = r.kinds(topo, cpus); err != nil {
		return fmt.Errorf("kinds of cores: %w", err)
	}
	nodes := slices.Collect(maps.Values(topo.Nodes))
	if topo.Caches, err = r.domains(topo, cpus, r.lastCaches(cpus), topo.Cores, nodes); err != nil {
		return fmt.Errorf("caches: %w", err)
	}
	topo.Kinds = apart(topo.Kinds, topo.Caches)
	if topo.Dies, err = r.domains(topo, cpus, r.topology("die_cpus_list"), slices.Concat(topo.Cores, topo.Caches), nodes); err != nil {
		return fmt.Errorf("dies: %w", err)
	}
	kinds := topo.Kinds
	if len(kinds) == 0 {
		kinds = []cpuset.CPUSet{cpus}
	}
	for _, kind := range kinds { // beside cores that are clusters of their own stand clusters of smaller ones
		clusters, err := r.domains(topo, kind.Intersection(cpus), r.topology("cluster_cpus_list"), topo.Cores, slices.Concat(topo.Caches, nodes))
		if err != nil {
			return fmt.Errorf("clusters: %w", err)
		}
		topo.Clusters = append(topo.Clusters, clusters...)
	}
	return r.distances(topo)
}

// reader gives the CPUs that share something with a CPU.
type reader func(cpu int) (cpuset.CPUSet, error)

func (r Root) topology(file string) reader {
	return func(cpu int) (cpuset.CPUSet, error) {
		return r.cpuList(cpuDir, "cpu"+strconv.Itoa(cpu), "topology", file)
	}
}

// domains groups cpus by what they share, and gives nothing if the first group tells no more than the finer and the coarser
// ones: it is within one of those, or holds one of these. Arm before Linux 5.17 shows each CPU as a die.
func (r Root) domains(topo *Topology, cpus cpuset.CPUSet, read reader, finer, coarser []cpuset.CPUSet) ([]cpuset.CPUSet, error) {
	var sets []cpuset.CPUSet
	seen := map[int]bool{}
	for _, cpu := range cpus.List() {
		if seen[cpu] {
			continue
		}
		set, err := read(cpu)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		set = set.Intersection(topo.Online)
		if len(seen) == 0 && (set.IsEmpty() || slices.ContainsFunc(finer, func(other cpuset.CPUSet) bool {
			return other.Contains(cpu) && set.IsSubsetOf(other)
		}) || slices.ContainsFunc(coarser, func(other cpuset.CPUSet) bool {
			return other.Contains(cpu) && other.IsSubsetOf(set)
		})) {
			return nil, nil
		}
		seen[cpu] = true
		note(seen, set)
		if !set.IsEmpty() {
			sets = append(sets, set)
		}
	}
	return sets, nil
}

// lastCaches gives a function that reads which CPUs share a CPU's last level of cache: L3, or what it has instead. index3
// is L3 on nearly all machines, where L1 is parted into data and instructions: seen on one CPU, it is believed of the
// others that have it.
func (r Root) lastCaches(cpus cpuset.CPUSet) reader {
	level, err := r.Read(cpuDir, "cpu"+strconv.Itoa(slices.Min(cpus.UnsortedList())), "cache/index3/level")
	usual := err == nil && level == "3"
	return func(cpu int) (cpuset.CPUSet, error) {
		if usual {
			set, err := r.cpuList(cpuDir, "cpu"+strconv.Itoa(cpu), "cache/index3/shared_cpu_list")
			if !errors.Is(err, fs.ErrNotExist) {
				return set, err
			}
		}
		return r.lastCache(cpu)
	}
}

// lastCache looks at each: others have four levels, or no L3 (small boards, Intel's low-power E-cores).
func (r Root) lastCache(cpu int) (cpuset.CPUSet, error) {
	dir := filepath.Join(cpuDir, "cpu"+strconv.Itoa(cpu), "cache")
	last, best := "", 0
	for _, index := range []string{"index3", "index4", "index2"} {
		text, err := r.Read(dir, index, "level")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cpuset.CPUSet{}, err
		}
		if level, _ := strconv.Atoi(text); level > best {
			last, best = index, level
		}
		if best >= 3 {
			break
		}
	}
	if last == "" {
		return cpuset.CPUSet{}, fs.ErrNotExist
	}
	return r.cpuList(dir, last, "shared_cpu_list")
}

// Machines with more CPUs than these have cores of one kind, and a file for each CPU that says so.
const mostOfSeveralKinds = 64

// kinds groups the CPUs by how fast their cores are. The kernel tells it by the performance counters of Intel's hybrid
// processors, and as a capacity of each CPU on Arm and RISC-V.
func (r Root) kinds(topo *Topology, cpus cpuset.CPUSet) ([]cpuset.CPUSet, error) {
	var kinds []cpuset.CPUSet
	for _, pmu := range []string{"cpu_core", "cpu_atom", "cpu_lowpower"} {
		kind, err := r.cpuList("sys/devices", pmu, "cpus")
		if errors.Is(err, fs.ErrNotExist) {
			break // cpu_core comes first, and is on none but hybrid processors
		}
		if err != nil {
			return nil, err
		}
		if kind = kind.Intersection(topo.Online); !kind.IsEmpty() {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) > 0 || topo.Online.Size() > mostOfSeveralKinds {
		return kinds, nil
	}
	of := map[int][]int{}
	for _, core := range topo.Cores {
		text, err := r.Read(cpuDir, "cpu"+strconv.Itoa(slices.Min(core.UnsortedList())), "cpu_capacity")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		capacity, convErr := strconv.Atoi(text)
		if err != nil || convErr != nil {
			return nil, errors.Join(err, convErr)
		}
		of[capacity] = append(of[capacity], core.UnsortedList()...)
	}
	if len(of) < 2 {
		return nil, nil
	}
	for _, capacity := range slices.Backward(slices.Sorted(maps.Keys(of))) {
		kinds = append(kinds, cpuset.New(of[capacity]...))
	}
	return kinds, nil
}

// apart makes those a kind of their own, and the slower, that share no cache with a faster one while others of their kind
// do: Intel's low-power E-cores, on another tile.
func apart(kinds, caches []cpuset.CPUSet) []cpuset.CPUSet {
	var parts []cpuset.CPUSet
	faster := cpuset.New()
	for _, kind := range kinds {
		var beside []int
		for _, cache := range caches {
			if !cache.Intersection(faster).IsEmpty() {
				beside = append(beside, cache.Intersection(kind).UnsortedList()...)
			}
		}
		near := cpuset.New(beside...)
		if far := kind.Difference(near); !near.IsEmpty() && !far.IsEmpty() {
			parts = append(parts, near, far)
		} else {
			parts = append(parts, kind)
		}
		faster = faster.Union(kind)
	}
	return parts
}

// distances reads how far each node is from the others. A line has a number for each node that is online, also for those
// without CPUs.
func (r Root) distances(topo *Topology) error {
	if len(topo.Nodes) < 2 {
		return nil
	}
	online, err := r.cpuList(nodeDir, "online")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("NUMA nodes: %w", err)
	}
	topo.Distances = map[int]map[int]int{}
	for node := range topo.Nodes {
		text, err := r.Read(nodeDir, "node"+strconv.Itoa(node), "distance")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("distances of NUMA node %d: %w", node, err)
		}
		row := map[int]int{}
		for i, word := range strings.Fields(text) {
			if distance, err := strconv.Atoi(word); err == nil && i < online.Size() {
				row[online.List()[i]] = distance
			}
		}
		topo.Distances[node] = row
	}
	return nil
}
