package reconcile

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// The reasons why a task stays that could be in the way.
const (
	exempt  = "[layout] exempt"
	bound   = "bound by the kernel"
	follows = "follows its interrupt"
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
	return nil
}

// otherCpusets adds all directories that are neither a grant's nor above one. On cgroup v2 it is enough to shrink the
// outermost: those below have no more than they.
func otherCpusets(root host.Root, ledger *shield.Ledger, dirs map[string]bool) error {
	// Also without a grant, while there is something to put back: directories made since below shrunk ones.
	shrinks := ledger.AnyLevel(shield.LevelCpuset)
	if !shrinks && !anyLocal(ledger) && len(ledger.Noted(shield.Cpuset)) == 0 {
		return nil
	}
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	return walkCgroups(root, place.Mount, func(dir string) error {
		switch {
		case dir == place.Mount || aboveGrant(ledger, dir):
			return nil
		case isGrant(ledger, dir) || holdsExempt(root, ledger, dir):
			return filepath.SkipDir
		}
		dirs[dir] = shrinks || namesCPUs(root, dir)
		if place.Unified {
			return filepath.SkipDir
		}
		return nil
	})
}

// namesCPUs: a local partition conflicts only with those beside it that name its CPUs.
func namesCPUs(root host.Root, dir string) bool {
	cpus, err := hostcpuset.CPUs(root, dir)
	return err == nil && !cpus.IsEmpty()
}

func anyLocal(ledger *shield.Ledger) bool {
	return slices.ContainsFunc(ledger.Grants, func(g shield.Grant) bool { return g.Local })
}

// walkCgroups visits the directories of a hierarchy, outermost first, with their paths as on the host. One that goes away
// meanwhile is passed over. visit may return filepath.SkipDir.
func walkCgroups(root host.Root, mount string, visit func(dir string) error) error {
	return filepath.WalkDir(root.Path(mount), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			if gone(err) || err == nil {
				return nil
			}
			return err
		}
		return visit("/" + strings.TrimPrefix(strings.TrimPrefix(name, string(root)), "/"))
	})
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
		if stat, err := task.Read(root, tid); err == nil && isExempt(root, ledger, tid, stat) {
			return true
		}
	}
	return false
}

// isExempt looks at a thread's own name and at its process's.
func isExempt(root host.Root, ledger *shield.Ledger, tid int, stat task.Stat) bool {
	if len(ledger.Exempt) == 0 {
		return false
	}
	return task.Matches(ledger.Exempt, stat.Comm) || !stat.Kernel && task.Matches(ledger.Exempt, task.ProcessName(root, tid))
}
