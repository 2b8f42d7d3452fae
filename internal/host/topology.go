package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
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
	// Nodes holds the online CPUs of every NUMA node. A kernel without NUMA has all on node 0.
	Nodes map[int]cpuset.CPUSet
}

const cpuDir = "sys/devices/system/cpu"

// Online gives the CPUs that are online.
func (r Root) Online() (cpuset.CPUSet, error) { return r.cpuList(cpuDir, "online") }

// Topology reads it. Only the list of online CPUs has to be there.
func (r Root) Topology() (Topology, error) {
	online, err := r.Online()
	if err != nil {
		return Topology{}, fmt.Errorf("online CPUs: %w", err)
	}
	topo := Topology{Online: online, Nodes: map[int]cpuset.CPUSet{}}
	for _, file := range []string{"isolated", "nohz_full"} {
		// nohz_full is absent without CONFIG_NO_HZ_FULL and reads "(null)" without the option (until 6.1).
		text, err := r.Read(cpuDir, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Topology{}, fmt.Errorf("isolated CPUs: %w", err)
		}
		if set, err := cpuset.Parse(strings.TrimSpace(text)); err == nil {
			topo.Isolated = topo.Isolated.Union(set)
		}
	}
	seen := cpuset.New()
	for _, cpu := range online.List() {
		if seen.Contains(cpu) {
			continue
		}
		siblings, err := r.cpuList(cpuDir, "cpu"+strconv.Itoa(cpu), "topology/thread_siblings_list")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Topology{}, fmt.Errorf("thread siblings: %w", err)
		}
		core := siblings.Intersection(online).Union(cpuset.New(cpu))
		seen = seen.Union(core)
		topo.Cores = append(topo.Cores, core)
	}
	if err := r.nodes(&topo); err != nil {
		return Topology{}, err
	}
	return topo, nil
}

func (r Root) nodes(topo *Topology) error {
	entries, err := os.ReadDir(r.Path("sys/devices/system/node"))
	if errors.Is(err, fs.ErrNotExist) {
		topo.Nodes[0] = topo.Online
		return nil
	}
	if err != nil {
		return fmt.Errorf("NUMA nodes: %w", err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, entry := range entries {
		number, err := strconv.Atoi(strings.TrimPrefix(entry.Name(), "node"))
		if err != nil {
			continue // "possible", "online", …
		}
		cpus, err := r.cpuList("sys/devices/system/node", entry.Name(), "cpulist")
		if err != nil {
			return fmt.Errorf("NUMA node %d: %w", number, err)
		}
		if local := cpus.Intersection(topo.Online); !local.IsEmpty() {
			topo.Nodes[number] = local
		}
	}
	return nil
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
