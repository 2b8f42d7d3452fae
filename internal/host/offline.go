package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// NoNode is the node of a CPU of which the kernel does not tell one.
const NoNode = -1

// Offline gives the CPUs that can be brought online and are not, each with its NUMA node. Which core one is on the kernel
// forgets.
func (r Root) Offline(topo Topology) (map[int]int, error) {
	offline := map[int]int{}
	present, err := r.cpuList(cpuDir, "present")
	if errors.Is(err, fs.ErrNotExist) {
		return offline, nil
	}
	if err != nil {
		return nil, fmt.Errorf("present CPUs: %w", err)
	}
	for _, cpu := range present.Difference(topo.Online).List() {
		names, err := r.List(cpuDir, "cpu"+strconv.Itoa(cpu))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("node of CPU %d: %w", cpu, err)
		}
		offline[cpu] = nodeAmong(names)
	}
	return offline, nil
}

// nodeAmong finds the link of a CPU to its node, node0; it stays while the CPU is offline.
func nodeAmong(names []string) int {
	for _, name := range names {
		if number, isNode := strings.CutPrefix(name, "node"); isNode {
			if node, err := strconv.Atoi(number); err == nil {
				return node
			}
		}
	}
	return NoNode
}
