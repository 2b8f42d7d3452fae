package reconcile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// The reasons why a task stays that could be in the way.
const (
	exempt = "[layout] exempt"
	bound  = "bound by the kernel"
)

// observeCpusets reads the cpusets that have to do without the held CPUs: those of ordinary containers that were cut, and
// at level cpuset every other one. What is gone is left out, and forgotten.
func observeCpusets(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	dirs := map[string]bool{}
	for _, ordinary := range ledger.Ordinary {
		if ordinary.Bound && ordinary.Cpuset != "" {
			dirs[ordinary.Cpuset] = true
		}
	}
	for name := range ledger.Baselines {
		if knob, err := shield.ParseKnob(name); err == nil && knob.Kind == shield.Cpuset {
			dirs[knob.Name] = true
		}
	}
	if err := otherCpusets(root, ledger, dirs); err != nil {
		return err
	}
	for dir := range dirs {
		cpus, err := hostcpuset.CPUs(root, dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		seen.Masks[shield.Knob{Kind: shield.Cpuset, Name: dir}] = cpus
	}
	return nil
}

// otherCpusets adds all directories that are neither a grant's nor above one. On cgroup v2 it is enough to shrink the
// outermost: those below have no more than they.
func otherCpusets(root host.Root, ledger *shield.Ledger, dirs map[string]bool) error {
	// Also without a grant, while there is something to put back: directories made since below shrunk ones.
	if !ledger.AnyLevel(shield.LevelCpuset) && !recorded(ledger, shield.Cpuset) {
		return nil
	}
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	return filepath.WalkDir(root.Path(place.Mount), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			if gone(err) || err == nil {
				return nil
			}
			return err
		}
		dir := "/" + strings.TrimPrefix(strings.TrimPrefix(name, string(root)), "/")
		switch {
		case dir == place.Mount || aboveGrant(ledger, dir):
			return nil
		case isGrant(ledger, dir) || holdsExempt(root, ledger, dir):
			return filepath.SkipDir
		}
		dirs[dir] = true
		if place.Unified {
			return filepath.SkipDir
		}
		return nil
	})
}

func recorded(ledger *shield.Ledger, kind shield.Kind) bool {
	for name := range ledger.Baselines {
		if strings.HasPrefix(name, string(kind)+":") {
			return true
		}
	}
	return false
}

func isGrant(ledger *shield.Ledger, dir string) bool {
	for _, grant := range ledger.Grants {
		if grant.Cgroups.Cpuset == dir {
			return true
		}
	}
	return false
}

func aboveGrant(ledger *shield.Ledger, dir string) bool {
	for _, grant := range ledger.Grants {
		if strings.HasPrefix(grant.Cgroups.Cpuset, dir+"/") {
			return true
		}
	}
	return false
}

func holdsExempt(root host.Root, ledger *shield.Ledger, dir string) bool {
	if len(ledger.Exempt) == 0 {
		return false
	}
	tids, err := task.In(root, dir)
	if err != nil {
		return false
	}
	for _, tid := range tids {
		if isExempt(root, ledger, tid) {
			return true
		}
	}
	return false
}

func isExempt(root host.Root, ledger *shield.Ledger, tid int) bool {
	if len(ledger.Exempt) == 0 {
		return false
	}
	name, _ := root.Read("proc", strconv.Itoa(tid), "comm")
	return task.Matches(ledger.Exempt, name) || task.Matches(ledger.Exempt, task.ProcessName(root, tid))
}

// observeThreads reads the affinity of the threads that no cpuset holds: in the root, and in directories above a grant.
// Most are looked at with one system call; only those that may have to change are read further.
func observeThreads(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	atCpuset := ledger.AnyLevel(shield.LevelCpuset)
	if !atCpuset && !recorded(ledger, shield.Thread) {
		return nil
	}
	moved := map[int]uint64{} // by thread id, the start time
	for name := range ledger.Baselines {
		knob, err := shield.ParseKnob(name)
		if err != nil || knob.Kind != shield.Thread {
			continue
		}
		tid, start, _ := strings.Cut(knob.Name, ":")
		number, errTID := strconv.Atoi(tid)
		ticks, errStart := strconv.ParseUint(start, 10, 64)
		if errors.Join(errTID, errStart) == nil {
			moved[number] = ticks
		}
	}
	tids, err := loose(root, ledger)
	if err != nil {
		return err
	}
	for tid := range moved {
		tids[tid] = true
	}
	// Not ourselves: we are gone before anybody could mind.
	if own, err := os.ReadDir("/proc/self/task"); err == nil {
		for _, thread := range own {
			tid, _ := strconv.Atoi(thread.Name())
			delete(tids, tid)
		}
	}
	held := ledger.Held()
	for tid := range tids {
		cpus, err := task.Affinity(tid)
		if err != nil {
			continue // it has ended
		}
		_, known := moved[tid]
		if known || atCpuset && !cpus.Intersection(held).IsEmpty() || ledger.Since > 0 && !seen.Online.IsSubsetOf(cpus) {
			observeThread(root, ledger, seen, tid, cpus)
		}
	}
	return nil
}

// loose lists the threads in the directories that cannot be shrunk.
func loose(root host.Root, ledger *shield.Ledger) (map[int]bool, error) {
	tids := map[int]bool{}
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return tids, err
	}
	dirs := []string{place.Mount}
	for _, grant := range ledger.Grants {
		for dir := filepath.Dir(grant.Cgroups.Cpuset); len(dir) > len(place.Mount); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		in, err := task.In(root, dir)
		if err != nil && !gone(err) && !errors.Is(err, unix.EOPNOTSUPP) { // domain invalid: a threaded subtree's
			return tids, err
		}
		for _, tid := range in {
			tids[tid] = true
		}
	}
	return tids, nil
}

func observeThread(root host.Root, ledger *shield.Ledger, seen shield.Observation, tid int, cpus cpuset.CPUSet) {
	stat, err := task.Read(root, tid)
	if err != nil {
		return
	}
	state := shield.ThreadState{CPUs: cpus, Start: stat.Start, Name: stat.Comm}
	switch {
	case stat.Bound:
		state.Fixed = bound
	case isExempt(root, ledger, tid):
		state.Fixed = exempt
	}
	seen.Threads[shield.Knob{Kind: shield.Thread, Name: strconv.Itoa(tid) + ":" + strconv.FormatUint(stat.Start, 10)}] = state
}
