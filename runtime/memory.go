package runtime

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

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
	// Set for the engine (MemoryKSM= of systemd), the flag passes fork, and execve since Linux 6.7.
	if merges, err := unix.PrctlRetInt(unix.PR_GET_MEMORY_MERGE, 0, 0, 0, 0); class.KSM == string(shield.Off) && err == nil && merges == 1 {
		grant.Memory.KSM = string(shield.Off)
	}
	return nil
}

// withoutTHP turns transparent huge pages off for this process, and so for the delegate that it becomes and for the
// container's program: the flag passes fork and execve (prctl(2)).
func withoutTHP() error {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("thp = \"never\": prctl(PR_SET_THP_DISABLE): %w", err)
	}
	return nil
}

// withoutKSM takes the flag back that lets the kernel merge all memory of this process, and of those that come of it, with
// equal memory of others: who then writes to it waits for a copy.
func withoutKSM() error {
	if err := unix.Prctl(unix.PR_SET_MEMORY_MERGE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("ksm = \"off\": prctl(PR_SET_MEMORY_MERGE): %w", err)
	}
	return nil
}
