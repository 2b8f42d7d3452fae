package runtime

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// memory says what the class asks for and this host and delegate can do.
func (m *matter) memory(grant *shield.Grant, traits delegate.Traits) error {
	class := m.config.Classes[grant.Class]
	limit := func(what, why, help string) {
		grant.Limits = append(grant.Limits, shield.Limit{What: what, Why: why, Help: help})
	}
	hasTHP, errTHP := system.HasTHP()
	if class.THP == shield.Never && hasTHP {
		grant.Memory.THP = shield.Never
	}
	swaps, errSwaps := system.Swaps()
	control, errControl := system.SwapControl()
	if err := errors.Join(errTHP, errSwaps, errControl); err != nil {
		return fmt.Errorf("container %s: memory: %w", grant.Name, err)
	}
	if class.Swap == string(shield.Off) && swaps {
		if grant.Memory.Swap = control; control == "" {
			limit("memory of the container may be swapped out", "this host has swap, and no memory cgroup controller that bounds it",
				"lock it in the program (mlockall), or swapoff")
		}
	}
	if class.MemoryPolicy == shield.Bind && !grant.Pinned {
		if grant.Memory.Policy = shield.Bind; !traits.MemoryPolicy() {
			grant.Memory.Policy = ""
			limit("linux.memoryPolicy is not set", fmt.Sprintf("%s %s does not know it", traits.Name, traits.Version),
				"its cpuset keeps new memory on node "+grant.Mems.String()+" all the same")
		}
	}
	return m.hugePages(grant)
}

// hugePages checks, before anything is made, that the container could have the huge pages that it is limited to: a limit
// promises none, and a program that maps what is not there dies of SIGBUS.
func (m *matter) hugePages(grant *shield.Grant) error {
	for _, limit := range m.request.HugePages {
		wanted := limit.Bytes / limit.PageSize
		free, err := system.FreeHugePages(limit.PageSize, grant.Mems.List())
		if err != nil {
			return fmt.Errorf("container %s is limited to %d huge pages of %s: this host has none of that size: %w", grant.Name, wanted, limit.Size, err)
		}
		if free >= wanted {
			continue
		}
		others := m.facts.Topology.Online
		nodes := m.facts.Topology.NodesOf(others).Difference(grant.Mems.CPUSet)
		elsewhere, _ := system.FreeHugePages(limit.PageSize, nodes.List())
		return fmt.Errorf("container %s may use %d huge pages of %s, and memory node %s next to its CPUs %s has %d free%s: reserve more there (/sys/devices/system/node/node*/hugepages), or ask for fewer",
			grant.Name, wanted, limit.Size, grant.Mems, grant.CPUs, free, onOthers(nodes, elsewhere))
	}
	return nil
}

func onOthers(nodes cpuset.CPUSet, free uint64) string {
	if nodes.IsEmpty() {
		return ""
	}
	return fmt.Sprintf(" (node %s: %d)", nodes, free)
}

// withoutTHP turns transparent huge pages off for this process, and so for the delegate that it becomes and for the
// container's program: the flag passes fork and execve (prctl(2)).
func withoutTHP() error {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("thp = \"never\": prctl(PR_SET_THP_DISABLE): %w", err)
	}
	return nil
}
