// Package rt reads and sets the real-time budgets of the cgroup v1 cpu controller (CONFIG_RT_GROUP_SCHED).
//
// A new group's budget is 0, and sched_setscheduler(2) to FIFO or RR in such a group fails with EPERM. A group's share
// (runtime/period) must not exceed its parent's, nor the sum of the children's their parent's (EINVAL), and cannot be
// lowered to 0 while the group has real-time tasks (EBUSY). See Documentation/scheduler/sched-rt-group.rst.
package rt

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/rtshield/rtshield/internal/host"
)

const (
	runtimeFile = "cpu.rt_runtime_us"
	periodFile  = "cpu.rt_period_us"
)

// Budget gives runtime and period of a cgroup directory, in microseconds. fs.ErrNotExist where the kernel has no such
// budgets, or no such directory.
func Budget(root host.Root, dir string) (runtime, period int64, err error) {
	if runtime, err = readNumber(root, dir, runtimeFile); err != nil {
		return 0, 0, err
	}
	period, err = readNumber(root, dir, periodFile)
	return runtime, period, err
}

// Throttle gives what real-time threads may have of each CPU of the whole host, in microseconds; runtime -1 is all. Since Linux
// 6.12 it binds them only where there are budgets of groups.
func Throttle(root host.Root) (runtime, period int64, err error) {
	const knobs = "/proc/sys/kernel"
	if runtime, err = readNumber(root, knobs, "sched_rt_runtime_us"); err != nil {
		return 0, 0, err
	}
	period, err = readNumber(root, knobs, "sched_rt_period_us")
	return runtime, period, err
}

func readNumber(root host.Root, dir, file string) (int64, error) {
	text, err := root.Read(dir, file)
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dir, file), err)
	}
	return number, nil
}

// SetRuntime writes a directory's runtime in microseconds.
func SetRuntime(root host.Root, dir string, runtime int64) error {
	return root.Write(strconv.FormatInt(runtime, 10), dir, runtimeFile)
}

// SetPeriod writes a directory's period in microseconds.
func SetPeriod(root host.Root, dir string, period int64) error {
	return root.Write(strconv.FormatInt(period, 10), dir, periodFile)
}

// Children lists the directories right below dir, by full path.
func Children(root host.Root, dir string) []string {
	names, _ := root.Subdirectories(dir)
	children := make([]string, len(names))
	for i, name := range names {
		children[i] = filepath.Join(dir, name)
	}
	return children
}

// Chain lists the directories that need a budget before tasks in dir can run real-time: from right below the mount
// down to dir. Empty where the kernel wants no budgets.
func Chain(root host.Root, mount, dir string) ([]string, error) {
	if _, _, err := Budget(root, dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	return host.Ancestors(mount, dir), nil
}
