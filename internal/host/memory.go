package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HasTHP says whether this kernel has transparent huge pages that a process can be kept from (Linux 5.0 shows it).
func (r Root) HasTHP() (bool, error) {
	_, err := r.StatusField(os.Getpid(), "THP_enabled")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Swaps says whether any swap space is on: /proc/swaps has more than its heading.
func (r Root) Swaps() (bool, error) {
	text, err := r.Read("proc/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.Contains(text, "\n"), err
}

// The files of the memory controller that keep a cgroup from swap.
const (
	SwapMax    = "memory.swap.max"   // v2
	Swappiness = "memory.swappiness" // v1
)

// SwapControl gives the one that cgroups of this host have, "" without the memory controller.
func (r Root) SwapControl() (string, error) {
	place, found, err := r.Controller(os.Getpid(), "memory")
	switch {
	case err != nil || !found:
	case !place.Unified:
		return Swappiness, nil
	default:
		// The root has none; any cgroup below it that has the controller tells.
		files, _ := filepath.Glob(r.Path(place.Mount, "*", SwapMax))
		if len(files) > 0 {
			return SwapMax, nil
		}
	}
	return "", err
}

// KSMMerges says whether the kernel may merge all of a process's memory with that of others (prctl PR_SET_MEMORY_MERGE), where
// it shows that (6.18 does).
func (r Root) KSMMerges(pid int) bool {
	text, err := r.Read("proc", strconv.Itoa(pid), "ksm_stat")
	return err == nil && strings.Contains(text, "ksm_merge_any: yes")
}
