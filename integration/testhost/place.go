package testhost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Place is where a suite's engine has all that is its own: a directory, and a cgroup that nobody else has.
type Place struct {
	Dir string
	// Cgroup is /name, in every hierarchy.
	Cgroup string
	found  map[string]bool // of leftovers, those from before
}

// NewPlace makes a place. The path is short and without the product's name: a socket's is at most 107 bytes, and tests look
// for the name.
func NewPlace(name string) (*Place, error) {
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, err
	}
	return placeIn(dir), nil
}

func placeIn(dir string) *Place {
	return &Place{Dir: dir, Cgroup: "/" + filepath.Base(dir), found: leftovers()}
}

// Left are the places of runs that were cut. Under the lock (Alone) no such run is alive.
func Left(name string) (places []*Place) {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), name+"-[0-9]*"))
	for _, dir := range dirs {
		places = append(places, placeIn(dir))
	}
	return places
}

// Path is a file in the directory.
func (p *Place) Path(name string) string { return filepath.Join(p.Dir, name) }

// Clear takes away all that is left of an engine that has ended, also after a test that went wrong: with the containers
// gone, reconcile gives the host back what they held.
func (p *Place) Clear(reconcile *exec.Cmd) error {
	problems := []error{p.killRest()}
	if out, err := reconcile.CombinedOutput(); err != nil {
		problems = append(problems, fmt.Errorf("%v: %w: %s", reconcile.Args, err, out))
	}
	return errors.Join(append(problems, p.unmount(), p.RemoveCgroups(""), p.removeLeftovers(), os.RemoveAll(p.Dir))...)
}

// killRest ends daemons, shims and containers that have outlived the engine: those that name its directory in their
// arguments, and those in its cgroup.
func (p *Place) killRest() error {
	return Poll(10*time.Second, func() error {
		rest := p.rest()
		for _, pid := range rest {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(rest) > 0 {
			return fmt.Errorf("processes %v do not end", rest)
		}
		return nil
	})
}

func (p *Place) rest() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if pid != os.Getpid() && bytes.Contains(text, []byte(p.Dir+"/")) {
			pids = append(pids, pid)
		}
	}
	for _, dir := range p.cgroups("") {
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cgroups are the directories of the engine's cgroup, from below on, in all hierarchies, those inside first.
func (p *Place) cgroups(below string) (dirs []string) {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*" + p.Cgroup + below)
	for _, top := range append(tops, "/sys/fs/cgroup"+p.Cgroup+below) {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	slices.Reverse(dirs)
	return dirs
}

// RemoveCgroups removes them, once their processes have ended.
func (p *Place) RemoveCgroups(below string) error {
	return Poll(5*time.Second, func() error {
		for _, dir := range p.cgroups(below) {
			if err := os.Remove(dir); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Place) unmount() error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var problems []error
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], p.Dir+"/") {
			problems = append(problems, syscall.Unmount(fields[1], 0))
		}
	}
	return errors.Join(problems...)
}

// leftovers are what stays elsewhere: rtshield's notes which delegate belongs to which policy file, and directories of
// dockerd, containerd and kubelet outside of those that they were given.
func leftovers() map[string]bool {
	found := map[string]bool{}
	for _, pattern := range []string{"/run/rtshield/delegate-*", "/run/rtshield/exec-*", "/run/rtshield/ledger-*", "/run/docker", "/run/containerd",
		"/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/var/log/containers/*", "/var/log/pods"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			found[path] = true
		}
	}
	return found
}

func (p *Place) removeLeftovers() error {
	var problems []error
	for path := range leftovers() {
		if !p.found[path] {
			problems = append(problems, os.RemoveAll(path))
		}
	}
	return errors.Join(problems...)
}
