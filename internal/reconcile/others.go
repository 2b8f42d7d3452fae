package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// The reasons why a task stays that could be in the way.
const (
	bound   = "bound by the kernel"
	follows = "follows its interrupt"
)

// observeCpusets reads the cpusets that have to do without the held CPUs: those of ordinary containers that were cut, and
// at level cpuset every other one; beside a partition those that name CPUs. What is gone is left out, and forgotten.
func observeCpusets(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	dirs := map[string]bool{}
	for _, ordinary := range ledger.Ordinary {
		if ordinary.Bound && ordinary.Cpuset != "" {
			dirs[ordinary.Cpuset] = true
		}
	}
	for _, knob := range ledger.Noted(shield.Cpuset) {
		dirs[knob.Name] = true
	}
	if err := otherCpusets(root, ledger, dirs); err != nil {
		return err
	}
	for dir, wanted := range dirs {
		if !wanted {
			continue
		}
		cpus, err := hostcpuset.CPUs(root, dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		seen.Masks[shield.Knob{Kind: shield.Cpuset, Name: dir}] = cpus.String()
	}
	observeUnits(root, ledger, seen)
	return nil
}

// observeUnits reads AllowedCPUs of the cgroups among those seen that are units of systemd: slices, and what is right below
// the root. Others below a slice it starts and stops with their containers and services, and what they have is the slice's.
func observeUnits(root host.Root, ledger *shield.Ledger, seen shield.Observation) {
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found || !place.Unified || !systemd.Runs(root) {
		return
	}
	var units []string
	for _, knob := range ledger.Noted(shield.AllowedCPUs) {
		units = append(units, knob.Name)
	}
	for knob := range seen.Masks {
		unit := filepath.Base(knob.Name)
		outermost := filepath.Dir(knob.Name) == place.Mount && filepath.Ext(unit) == ".scope"
		if knob.Kind == shield.Cpuset && (filepath.Ext(unit) == ".slice" || outermost) && !slices.Contains(units, unit) {
			units = append(units, unit)
		}
	}
	slices.Sort(units)
	allowed, err := systemd.AllowedCPUs(units)
	for _, unit := range units {
		knob := shield.Knob{Kind: shield.AllowedCPUs, Name: unit}
		cpus, active := allowed[unit]
		_, known := ledger.Baselines[knob.String()]
		switch {
		case err != nil:
			seen.Masks[knob], seen.Fixed[knob] = "", err.Error()
		case active || known: // what was set of one that has stopped is still to be taken back
			seen.Masks[knob] = cpus.String()
		}
	}
}

// otherCpusets adds all directories that are neither a grant's nor above one. On cgroup v2 it is enough to shrink the
// outermost: those below have no more than they.
func otherCpusets(root host.Root, ledger *shield.Ledger, dirs map[string]bool) error {
	// Also without a grant, while there is something to put back: directories made since below shrunk ones.
	shrinks := ledger.AnyLevel(shield.LevelCpuset)
	if !shrinks && !ledger.AnyLevel(shield.LevelPartition) && len(ledger.Noted(shield.Cpuset)) == 0 {
		return nil
	}
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	return walkCgroups(root, place.Mount, func(dir string) error {
		if dir == place.Mount || aboveGrant(ledger, dir) {
			return nil
		}
		if isGrant(ledger, dir) {
			return filepath.SkipDir
		}
		if exempt, err := holdsExempt(root, ledger, dir); err != nil {
			return err
		} else if exempt {
			return filepath.SkipDir
		}
		dirs[dir] = dirs[dir] || shrinks || namesCPUs(root, dir)
		if place.Unified {
			return filepath.SkipDir
		}
		return nil
	})
}

// namesCPUs: a partition conflicts with those beside it that name its CPUs (seen on 6.12 with remote ones too: "cpu list in
// cpuset.cpus not exclusive").
func namesCPUs(root host.Root, dir string) bool {
	cpus, err := hostcpuset.CPUs(root, dir)
	return err == nil && !cpus.IsEmpty()
}

// walkCgroups visits the directories of a hierarchy, outermost first, with their paths as on the host. One that goes away
// meanwhile is passed over. visit may return filepath.SkipDir.
func walkCgroups(root host.Root, mount string, visit func(dir string) error) error {
	err := visit(mount)
	if err != nil {
		if errors.Is(err, filepath.SkipDir) {
			return nil
		}
		return err
	}
	below, err := root.Subdirectories(mount)
	if gone(err) {
		return nil
	}
	for _, name := range below {
		if err == nil {
			err = walkCgroups(root, filepath.Join(mount, name), visit)
		}
	}
	return err
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

func holdsExempt(root host.Root, ledger *shield.Ledger, dir string) (bool, error) {
	if len(ledger.Exempt) == 0 {
		return false, nil
	}
	tids, err := task.In(root, dir)
	if gone(err) || errors.Is(err, unix.EOPNOTSUPP) { // a threaded subtree's inner directory
		return false, nil
	}
	exempt := newExemption(root, ledger)
	for _, tid := range tids {
		if exempt.inherited(tid) {
			return true, nil
		}
		stat, readErr := task.Read(root, tid)
		switch {
		case gone(readErr):
		case readErr != nil:
			return false, readErr
		case exempt.holds(tid, stat):
			return true, nil
		}
	}
	return false, err
}

// exemption knows the threads that the administrator keeps where they are: by their own name, or by their process's, which
// is that of its first thread.
type exemption struct {
	root     host.Root
	patterns []string
	process  map[int]bool    // by thread, once its process was looked at
	names    map[string]bool // those that were compared: most threads have few
}

func newExemption(root host.Root, ledger *shield.Ledger) exemption {
	return exemption{root, ledger.Exempt, map[int]bool{}, map[string]bool{}}
}

func (e exemption) matches(name string) bool {
	fits, known := e.names[name]
	if !known {
		fits = task.Matches(e.patterns, name)
		e.names[name] = fits
	}
	return fits
}

// inherited says whether a thread is known to be exempt as one of its process's, without reading anything.
func (e exemption) inherited(tid int) bool { return e.process[tid] }

func (e exemption) holds(tid int, stat task.Stat) bool {
	if len(e.patterns) == 0 {
		return false
	}
	own := e.matches(stat.Comm)
	if stat.Kernel {
		return own
	}
	process, known := e.process[tid]
	switch {
	case known:
	case task.Leads(tid):
		if process = own; stat.Threads > 1 {
			e.remember(tid, process)
		}
	default:
		pid, name := task.Process(e.root, tid)
		process = e.matches(name)
		e.remember(pid, process)
	}
	return own || process
}

// remember keeps what was found for all threads of a process: one list costs less than to ask for each.
func (e exemption) remember(pid int, exempt bool) {
	tids, _ := task.Threads(e.root, pid)
	for _, tid := range tids {
		e.process[tid] = exempt
	}
}
