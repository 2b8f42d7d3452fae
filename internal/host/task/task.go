// Package task reads and sets the CPU affinity of threads.
package task

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// ErrBound: the kernel keeps this thread where it is (PF_NO_SETAFFINITY: kworkers, ksoftirqd, migration and other per-CPU
// threads). sched_setaffinity(2) gives EINVAL.
var ErrBound = errors.New("bound by the kernel")

// Flags of include/linux/sched.h, in field 9 of /proc/TID/stat. noSetAffinity is PF_NO_SETAFFINITY.
const (
	noSetAffinity = 0x04000000
	kernelThread  = 0x00200000 // PF_KTHREAD
)

// Stat is what /proc says of a thread.
type Stat struct {
	Comm string
	// Start is in clock ticks since boot.
	Start uint64
	// Threads is how many the process has.
	Threads int
	// Bound: the thread refuses another affinity.
	Bound bool
	// Kernel: it is a thread of the kernel.
	Kernel bool
	// Ended: it is a zombie, in no cgroup any more.
	Ended bool
}

// OfInterrupt says whether this is the thread of a threaded interrupt, which the kernel moves along with it.
func (s Stat) OfInterrupt() bool { return s.Kernel && strings.HasPrefix(s.Comm, "irq/") }

// In lists the threads that are in a cgroup directory itself, not below it. tasks is the v1 file, cgroup.threads the v2
// one.
func In(root host.Root, dir string) ([]int, error) {
	text, err := root.Read(dir, "tasks")
	if errors.Is(err, fs.ErrNotExist) {
		text, err = root.Read(dir, "cgroup.threads")
	}
	if err != nil {
		return nil, err
	}
	var tids []int
	for line := range strings.Lines(text) {
		if tid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && tid > 0 { // 0: of another pid namespace
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// Threads lists the threads of a process.
func Threads(root host.Root, pid int) ([]int, error) {
	names, err := root.List("proc", strconv.Itoa(pid), "task")
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, err
}

// Read gives a thread's Stat. fs.ErrNotExist or ESRCH if it has ended.
func Read(root host.Root, tid int) (Stat, error) {
	text, err := root.ReadOnce("proc", strconv.Itoa(tid), "stat")
	if err != nil {
		return Stat{}, err
	}
	open, end := strings.IndexByte(text, '('), strings.LastIndex(text, ") ")
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("/proc/%d/stat: unexpected %q", tid, text)
	}
	var fields [20]string // from the state on, field 3 of proc(5)
	rest, more := text[end+2:], true
	for i := range fields {
		if !more {
			return Stat{}, fmt.Errorf("/proc/%d/stat: unexpected %q", tid, text)
		}
		fields[i], rest, more = strings.Cut(rest, " ")
	}
	flags, errFlags := strconv.ParseUint(fields[6], 10, 64)
	threads, errThreads := strconv.Atoi(fields[17])
	start, errStart := strconv.ParseUint(fields[19], 10, 64)
	return Stat{
		Comm: text[open+1 : end], Start: start, Threads: threads, Ended: fields[0] == "Z" || fields[0] == "X",
		Bound: flags&noSetAffinity != 0, Kernel: flags&kernelThread != 0,
	}, errors.Join(errFlags, errThreads, errStart)
}

// Leads says whether a thread is the first of its process, whose name is the process's.
func Leads(tid int) bool { return unix.Tgkill(tid, tid, 0) == nil }

// Process gives the process that a thread belongs to, and its name, which is that of its first thread. Of one that has
// ended, 0 and "".
func Process(root host.Root, tid int) (pid int, name string) {
	text, err := root.StatusField(tid, "Tgid")
	if err != nil {
		return 0, ""
	}
	pid, _ = strconv.Atoi(text)
	name, _ = root.Read("proc", text, "comm")
	return pid, name
}

// Mask is an affinity as the kernel gives it: comparing it costs nothing beside making a set of it.
type Mask = unix.CPUSet

// AffinityMask gives the CPUs that a thread may run on.
func AffinityMask(tid int) (mask Mask, err error) {
	err = unix.SchedGetaffinity(tid, &mask)
	return mask, err
}

// Intersect says whether two masks have a CPU in common.
func Intersect(a, b Mask) bool {
	for i := range a {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

// MaskOf makes a mask of a set.
func MaskOf(cpus cpuset.CPUSet) (mask Mask) {
	for _, cpu := range cpus.UnsortedList() {
		mask.Set(cpu)
	}
	return mask
}

// SetOf makes a set of a mask.
func SetOf(mask Mask) cpuset.CPUSet {
	cpus := make([]int, 0, mask.Count())
	for cpu := 0; len(cpus) < cap(cpus); cpu++ {
		if mask.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpuset.New(cpus...)
}

// Affinity is AffinityMask as a set.
func Affinity(tid int) (cpuset.CPUSet, error) {
	mask, err := AffinityMask(tid)
	return SetOf(mask), err
}

// SetAffinity moves a thread. Its error wraps ErrBound for one that the kernel keeps where it is.
func SetAffinity(tid int, cpus cpuset.CPUSet) error { return SetAffinityMask(tid, MaskOf(cpus)) }

// SetAffinityMask is SetAffinity with a mask, which may have CPUs that there are not, or that the thread's cpuset lacks.
func SetAffinityMask(tid int, mask Mask) error {
	err := unix.SchedSetaffinity(tid, &mask)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %w", ErrBound, err)
	}
	return err
}

// Matches says whether a name fits one of the globs.
func Matches(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if fits, err := filepath.Match(pattern, name); err == nil && fits {
			return true
		}
	}
	return false
}
