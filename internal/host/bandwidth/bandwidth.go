// Package bandwidth reads how much CPU time a cgroup may have (quota, period and burst: Documentation/scheduler/sched-bwc.rst)
// and what it got.
package bandwidth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
)

// Place is a cgroup's directory of the cpu controller, and the one where its CPU time is counted: cpuacct on cgroup v1, the
// same on v2.
type Place struct{ CPU, Account string }

// Find gives the place of a cgroup that is named below the hierarchies' mounts; found is false if it is not there.
func Find(root host.Root, cgroup string) (place Place, found bool, err error) {
	for controller, into := range map[string]*string{"cpu": &place.CPU, "cpuacct": &place.Account} {
		mount, there, err := root.Controller(os.Getpid(), controller)
		if err != nil || !there {
			return place, false, err
		}
		*into = filepath.Join(mount.Mount, cgroup)
		if _, err := os.Stat(root.Path(*into)); err != nil {
			if host.Gone(err) {
				err = nil
			}
			return place, false, err
		}
	}
	return place, true, nil
}

// Limit is what a cgroup may have, in µs. A Quota of zero bounds nothing.
type Limit struct{ Quota, Period, Burst int64 }

// Read gives the bound of a directory of the cpu controller. The root of cgroup v2 has none.
func Read(root host.Root, dir string) (Limit, error) {
	text, err := root.Read(dir, "cpu.max")
	if errors.Is(err, fs.ErrNotExist) {
		return readV1(root, dir)
	}
	if err != nil {
		return Limit{}, err
	}
	quota, period, _ := strings.Cut(text, " ")
	limit := Limit{}
	if quota != "max" {
		limit.Quota, err = strconv.ParseInt(quota, 10, 64)
	}
	if limit.Period, _ = strconv.ParseInt(period, 10, 64); err != nil || limit.Period <= 0 {
		return Limit{}, fmt.Errorf("%s/cpu.max: unexpected %q", dir, text)
	}
	limit.Burst, err = number(root, dir, "cpu.max.burst")
	return limit, err
}

func readV1(root host.Root, dir string) (limit Limit, err error) {
	for _, part := range []struct {
		file string
		into *int64
	}{{"cpu.cfs_quota_us", &limit.Quota}, {"cpu.cfs_period_us", &limit.Period}, {"cpu.cfs_burst_us", &limit.Burst}} {
		if *part.into, err = number(root, dir, part.file); err != nil {
			return Limit{}, err
		}
	}
	limit.Quota = max(limit.Quota, 0)
	return limit, nil
}

// Set bounds a directory of the cpu controller, or lifts its bound with a Quota of zero. What is to be bounded otherwise is lifted
// first: the kernel takes no burst above the quota, and on cgroup v1 no larger part of a CPU than those above have, also on
// the way from one quota and period to others (EINVAL).
func Set(root host.Root, dir string, limit Limit) error {
	quota, period, burst := fmt.Sprint(limit.Quota), fmt.Sprint(limit.Period), fmt.Sprint(limit.Burst)
	writes := [][2]string{{"cpu.cfs_quota_us", "-1"}, {"cpu.cfs_burst_us", burst}, {"cpu.cfs_period_us", period}, {"cpu.cfs_quota_us", quota}}
	if _, err := root.Read(dir, "cpu.max"); err == nil {
		writes = [][2]string{{"cpu.max", "max"}, {"cpu.max.burst", burst}, {"cpu.max", quota + " " + period}}
	}
	if limit.Quota == 0 {
		writes = writes[:1]
	}
	for _, write := range writes {
		file, value := write[0], write[1]
		err := root.Write(value, dir, file)
		if noBurst := strings.Contains(file, "burst") && limit.Burst == 0; noBurst && errors.Is(err, fs.ErrNotExist) {
			continue // before Linux 5.14
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// number is 0 where there is no such file: no burst before Linux 5.14.
func number(root host.Root, dir, file string) (int64, error) {
	text, err := root.Read(dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", dir, file, err)
	}
	return n, nil
}

// HasBurst says whether this kernel lets a cgroup save up what it left: Linux 5.14. On cgroup v2 no file of the root tells.
func HasBurst(root host.Root) bool {
	major, minor, _ := strings.Cut(root.Kernel(), ".")
	x, errX := strconv.Atoi(major)
	minor = minor[:len(minor)-len(strings.TrimLeft(minor, "0123456789"))]
	y, errY := strconv.Atoi(minor)
	return errX == nil && errY == nil && (x > 5 || x == 5 && y >= 14)
}

// Above finds, on cgroup v1, the tightest bound of the directories above one that may not be there yet: no cgroup there may
// have a larger part of a CPU than those above it (EINVAL).
func Above(root host.Root, mount, dir string) (tightest Limit, where string, err error) {
	for dir = filepath.Dir(dir); len(dir) > len(mount); dir = filepath.Dir(dir) {
		limit, err := readV1(root, dir)
		if err != nil {
			return Limit{}, "", err
		}
		if limit.Quota > 0 && limit.Period > 0 && (where == "" || limit.Quota*tightest.Period < tightest.Quota*limit.Period) {
			tightest, where = limit, dir
		}
	}
	return tightest, where, nil
}

// Counters are what the kernel has counted of a cgroup since it was made, in ns.
type Counters struct {
	// At is CLOCK_BOOTTIME.
	At int64
	// Used is the time of all its threads on all CPUs.
	Used uint64
	// Periods in which it ran, those at whose end it was out of quota, and for how long: summed over the CPUs where it waited.
	Periods, Throttled, ThrottledTime uint64
}

// Count reads them.
func Count(root host.Root, place Place) (Counters, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return Counters{}, err
	}
	counters := Counters{At: now.Nano()}
	text, err := root.Read(place.CPU, "cpu.stat")
	if err != nil {
		return counters, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch name {
		case "usage_usec":
			counters.Used = 1000 * n
		case "nr_periods":
			counters.Periods = n
		case "nr_throttled":
			counters.Throttled = n
		case "throttled_time":
			counters.ThrottledTime = n
		case "throttled_usec":
			counters.ThrottledTime = 1000 * n
		}
	}
	if used, err := number(root, place.Account, "cpuacct.usage"); err != nil || used > 0 {
		counters.Used = uint64(used)
		return counters, err
	}
	return counters, nil
}

// Usage is what a cgroup got in some time. Its JSON form is a public interface.
type Usage struct {
	Seconds float64 `json:"seconds"`
	// Percent is of one CPU.
	Percent   float64 `json:"percent"`
	Periods   uint64  `json:"periods"`
	Throttled uint64  `json:"throttledPeriods"`
	// ThrottledSeconds are summed over CPUs.
	ThrottledSeconds float64 `json:"throttledSeconds"`
}

// Since gives what it got between two counts.
func (c Counters) Since(before Counters) Usage {
	usage := Usage{
		Seconds: float64(max(c.At-before.At, 0)) / 1e9, Periods: grown(c.Periods, before.Periods), Throttled: grown(c.Throttled, before.Throttled),
		ThrottledSeconds: float64(grown(c.ThrottledTime, before.ThrottledTime)) / 1e9,
	}
	if usage.Seconds > 0 {
		usage.Percent = float64(grown(c.Used, before.Used)) / 1e7 / usage.Seconds
	}
	return usage
}

func grown(now, before uint64) uint64 { return now - min(now, before) }
