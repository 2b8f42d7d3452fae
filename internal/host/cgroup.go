package host

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Controller is a process's place in one cgroup hierarchy.
type Controller struct {
	// Mount is where the hierarchy is mounted, Dir the process's own directory below it.
	Mount, Dir string
	// Unified is true for cgroup v2.
	Unified bool
}

// Controller finds the cgroup that holds pid's setting of a controller such as "cpuset" or "cpu": on v1 (and hybrid)
// that controller's hierarchy, else the unified one. found is false where the host has neither.
func (r Root) Controller(pid int, name string) (place Controller, found bool, err error) {
	text, err := r.Read("proc", strconv.Itoa(pid), "cgroup")
	if err != nil {
		return Controller{}, false, err
	}
	path, v1, found := controllerPath(text, name)
	if !found {
		return Controller{}, false, nil
	}
	mount, err := r.cgroupMount(name, v1)
	if err != nil || mount == nil {
		return Controller{}, false, err
	}
	// Seen from a cgroup namespace, or where only a subtree is mounted, the path is relative to the mount's own root.
	below, err := filepath.Rel(mount.Root, path)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return Controller{}, false, fmt.Errorf("cgroup %s of pid %d is not below the mount %s (%s)", path, pid, mount.Mountpoint, mount.Root)
	}
	return Controller{Mount: mount.Mountpoint, Dir: filepath.Join(mount.Mountpoint, below), Unified: !v1}, true, nil
}

// Cgroup finds a hierarchy that every process is in: that of the cpuset controller, else whichever there is.
func (r Root) Cgroup(pid int) (place Controller, found bool, err error) {
	if place, found, err = r.Controller(pid, "cpuset"); err != nil || found {
		return place, found, err
	}
	for _, controller := range []string{"cpu", "memory", "pids", "name=systemd"} {
		if place, found, err = r.Controller(pid, controller); err != nil || found {
			break
		}
	}
	return place, found, err
}

// controllerPath reads /proc/PID/cgroup, lines of "id:controllers:path" (cgroups(7)). Not with opencontainers/cgroups:
// it brings D-Bus and net along, whose start-up every OCI verb would pay.
func controllerPath(text, name string) (path string, v1, found bool) {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[1] == "":
			path, found = fields[2], true
		case hasOption(fields[1], name):
			return fields[2], true, true
		}
	}
	return path, false, found
}

// mounts remembers the cgroup mounts of a root: a process of ours is over before they change.
var mounts sync.Map

func (r Root) cgroupMount(controller string, v1 bool) (*mountinfo.Info, error) {
	all, err := r.cgroupMounts()
	if err != nil {
		return nil, err
	}
	for _, info := range all {
		if v1 && info.FSType == "cgroup" && hasOption(info.VFSOptions, controller) || !v1 && info.FSType == "cgroup2" {
			return info, nil
		}
	}
	return nil, nil
}

func (r Root) cgroupMounts() ([]*mountinfo.Info, error) {
	if known, ok := mounts.Load(r); ok {
		return known.([]*mountinfo.Info), nil
	}
	file, err := os.Open(r.Path("proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := mountinfo.GetMountsFromReader(file, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err == nil {
		mounts.Store(r, all)
	}
	return all, err
}

func hasOption(options, wanted string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == wanted {
			return true
		}
	}
	return false
}

// LeaveCgroups takes this process out of the cgroups that it was started in: they are somebody's, who may freeze, end or
// remove them with all that is in them. One that keeps it breaks nothing else.
func (r Root) LeaveCgroups() {
	all, _ := r.cgroupMounts()
	for _, info := range all {
		_ = r.Write("0", info.Mountpoint, "cgroup.procs")
	}
}

// CgroupPopulated says whether any process is left in a cgroup directory or below it. One that cannot be looked at counts
// as populated, see Alive.
func (r Root) CgroupPopulated(dir string) bool {
	for range r.cgroupProcs(dir) {
		return true
	}
	return false
}

// CgroupProcesses lists the processes in a cgroup directory and below it.
func (r Root) CgroupProcesses(dir string) []int {
	var pids []int
	for procs := range r.cgroupProcs(dir) {
		for line := range strings.Lines(procs) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 { // 0: of another pid namespace
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cgroupProcs yields every cgroup.procs that is not empty, and an empty text for what cannot be read.
func (r Root) cgroupProcs(dir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = filepath.WalkDir(r.Path(dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil && !Gone(err) && !yield("") {
				return filepath.SkipAll
			}
			if err != nil {
				return filepath.SkipDir // removed just now
			}
			if !entry.IsDir() {
				return nil // SkipDir would skip the directories behind it too
			}
			procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			unread := err != nil && !Gone(err) && !errors.Is(err, unix.EOPNOTSUPP) // a threaded subtree's inner directory
			if (unread || len(procs) > 0) && !yield(string(procs)) {
				return filepath.SkipAll
			}
			return nil
		})
	}
}

// mark is the extended attribute of cgroups whose containers were granted CPUs. It goes with its cgroup, and only root sees it.
const mark = "trusted.rtshield"

// MarkCgroup writes a text to a cgroup directory, "" takes it away.
func (r Root) MarkCgroup(dir, text string) error {
	if text == "" {
		return unix.Removexattr(r.Path(dir), mark)
	}
	return unix.Setxattr(r.Path(dir), mark, []byte(text), 0)
}

// CgroupMark reads it back, "" for none.
func (r Root) CgroupMark(dir string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Getxattr(r.Path(dir), mark, buffer)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP), Gone(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return string(buffer[:n]), nil
}

// Ancestors lists a cgroup directory with those above it, from right below the mount down to itself.
func Ancestors(mount, dir string) []string {
	var chain []string
	for ; len(dir) > len(mount); dir = filepath.Dir(dir) {
		chain = append(chain, dir)
	}
	slices.Reverse(chain)
	return chain
}
