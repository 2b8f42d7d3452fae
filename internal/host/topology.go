package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Topology is how the CPUs hang together, from /sys/devices/system.
type Topology struct {
	Online cpuset.CPUSet
	// Isolated holds the CPUs of the boot options isolcpus= and nohz_full=. Partitions made at run time are not in it.
	Isolated cpuset.CPUSet
	// Cores holds the online thread siblings of every core, in order of their first CPU.
	Cores []cpuset.CPUSet
	// Clusters, Caches and Dies hold the online CPUs that share one; Caches the last level of cache, which is L3 on most
	// machines. Empty where it tells nothing that cores and nodes do not.
	Clusters, Caches, Dies []cpuset.CPUSet
	// Kinds holds the CPUs of each kind of core, the fastest first. Empty where all are alike.
	Kinds []cpuset.CPUSet
	// Nodes holds the online CPUs of every NUMA node. A kernel without NUMA has all on node 0.
	Nodes map[int]cpuset.CPUSet
	// Distances is the firmware's table, from node to node, where 10 is a node's own memory. Empty with one node.
	Distances map[int]map[int]int
	// Memory holds the nodes that have memory. Empty: all.
	Memory cpuset.CPUSet
}

const (
	cpuDir  = "sys/devices/system/cpu"
	nodeDir = "sys/devices/system/node"
)

// Online gives the CPUs that are online.
func (r Root) Online() (cpuset.CPUSet, error) { return r.cpuList(cpuDir, "online") }

// Possible gives the CPUs that may ever be online.
func (r Root) Possible() (cpuset.CPUSet, error) { return r.cpuList(cpuDir, "possible") }

// Isolated gives the CPUs of the boot options isolcpus= and nohz_full=.
func (r Root) Isolated() (isolated cpuset.CPUSet, err error) {
	for _, file := range []string{"isolated", "nohz_full"} {
		// nohz_full is absent without CONFIG_NO_HZ_FULL and reads "(null)" without the option (until 6.1).
		text, err := r.Read(cpuDir, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return isolated, fmt.Errorf("isolated CPUs: %w", err)
		}
		if set, err := cpuset.Parse(strings.TrimSpace(text)); err == nil {
			isolated = isolated.Union(set)
		}
	}
	return isolated, nil
}

// Topology reads what a layout takes: which CPUs are online and isolated, and the first core. Only the list of online
// CPUs has to be there. Cores and Domains add the rest for those CPUs that matter.
func (r Root) Topology() (Topology, error) {
	online, err := r.Online()
	if err != nil {
		return Topology{}, fmt.Errorf("online CPUs: %w", err)
	}
	topo := Topology{Online: online}
	if topo.Isolated, err = r.Isolated(); err != nil {
		return Topology{}, err
	}
	if cpus := online.List(); len(cpus) > 0 {
		core, err := r.siblings(cpus[0], online)
		if err != nil {
			return Topology{}, err
		}
		topo.Cores = []cpuset.CPUSet{core}
	}
	return topo, nil
}

func (r Root) siblings(cpu int, online cpuset.CPUSet) (cpuset.CPUSet, error) {
	siblings, err := r.cpuList(cpuDir, "cpu"+strconv.Itoa(cpu), "topology/thread_siblings_list")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cpuset.CPUSet{}, fmt.Errorf("thread siblings: %w", err)
	}
	return siblings.Intersection(online).Union(cpuset.New(cpu)), nil
}

// Cores adds the cores that any of cpus is in, and the nodes.
func (r Root) Cores(topo *Topology, cpus cpuset.CPUSet) error {
	seen := map[int]bool{}
	single := len(topo.Cores) > 0 && topo.Cores[0].Size() == 1
	for _, core := range topo.Cores {
		note(seen, core)
	}
	if single && cpus.Size() > 1 {
		// Where the scheduler has found no siblings (Linux 4.19), there is no need to ask each CPU. A kernel without
		// CONFIG_SCHED_SMT never finds any, but then the first core would have shown them.
		active, err := r.Read(cpuDir, "smt/active")
		single = err == nil && active == "0"
	}
	for _, cpu := range cpus.Intersection(topo.Online).List() {
		if seen[cpu] {
			continue
		}
		core := cpuset.New(cpu)
		if !single || cpus.Size() == 1 {
			var err error
			if core, err = r.siblings(cpu, topo.Online); err != nil {
				return err
			}
		}
		note(seen, core)
		topo.Cores = append(topo.Cores, core)
	}
	first := func(core cpuset.CPUSet) int { return slices.Min(core.UnsortedList()) }
	slices.SortFunc(topo.Cores, func(a, b cpuset.CPUSet) int { return first(a) - first(b) })
	return r.nodes(topo)
}

func note(seen map[int]bool, cpus cpuset.CPUSet) {
	for _, cpu := range cpus.UnsortedList() {
		seen[cpu] = true
	}
}

func (r Root) nodes(topo *Topology) error {
	topo.Nodes = map[int]cpuset.CPUSet{}
	names, err := r.List(nodeDir)
	if errors.Is(err, fs.ErrNotExist) {
		topo.Nodes[0] = topo.Online
		return nil
	}
	if err != nil {
		return fmt.Errorf("NUMA nodes: %w", err)
	}
	for _, name := range names {
		number, err := strconv.Atoi(strings.TrimPrefix(name, "node"))
		if err != nil {
			continue // "possible", "online", …
		}
		cpus, err := r.cpuList(nodeDir, name, "cpulist")
		if err != nil {
			return fmt.Errorf("NUMA node %d: %w", number, err)
		}
		if local := cpus.Intersection(topo.Online); !local.IsEmpty() {
			topo.Nodes[number] = local
		}
	}
	if len(topo.Nodes) < 2 {
		return nil
	}
	if topo.Memory, err = r.cpuList(nodeDir, "has_memory"); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

func (r Root) cpuList(parts ...string) (cpuset.CPUSet, error) {
	text, err := r.Read(parts...)
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	set, err := cpuset.Parse(strings.TrimSpace(text))
	if err != nil {
		return cpuset.CPUSet{}, fmt.Errorf("%s: %w", filepath.Join(parts...), err)
	}
	return set, nil
}
