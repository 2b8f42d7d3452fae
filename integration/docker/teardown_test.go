package docker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// stop ends the daemon and takes away all that it made, also after a test that went wrong.
func (d *daemon) stop() error {
	if d == nil {
		return nil
	}
	var problems []error
	if d.exited != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // stops its containers and its containerd
		select {
		case <-d.exited:
		case <-time.After(30 * time.Second):
			problems = append(problems, errors.New("dockerd does not end\n"+d.lastWords()))
			_ = d.cmd.Process.Kill()
			<-d.exited
		}
		_ = d.log.Close()
	}
	problems = append(problems, d.killRest(), d.unmount(), d.removeCgroups(), d.removeLeftovers(), os.RemoveAll(d.dir))
	return errors.Join(problems...)
}

// killRest ends containerd, shims and containers that have outlived the daemon: those that name its directory in their
// arguments, and those in its cgroup.
func (d *daemon) killRest() error {
	return testhost.Poll(10*time.Second, func() error {
		rest := d.rest()
		for _, pid := range rest {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(rest) > 0 {
			return fmt.Errorf("processes %v do not end", rest)
		}
		return nil
	})
}

func (d *daemon) rest() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if pid != os.Getpid() && bytes.Contains(text, []byte(d.dir+"/")) {
			pids = append(pids, pid)
		}
	}
	for _, dir := range d.cgroups() {
		text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cgroups are the directories of the daemon's cgroup in all hierarchies, those inside first.
func (d *daemon) cgroups() (dirs []string) {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*" + d.cgroup)
	for _, top := range append(tops, "/sys/fs/cgroup"+d.cgroup) {
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

func (d *daemon) removeCgroups() error {
	return testhost.Poll(5*time.Second, func() error {
		for _, dir := range d.cgroups() {
			if err := os.Remove(dir); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *daemon) unmount() error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var problems []error
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			problems = append(problems, syscall.Unmount(fields[1], 0))
		}
	}
	return errors.Join(problems...)
}

// leftovers are what stays on /run: rtshield's notes which delegate belongs to which policy file, and directories of
// dockerd and containerd outside of --exec-root.
func leftovers() map[string]bool {
	found := map[string]bool{}
	for _, pattern := range []string{"/run/rtshield/delegate-*", "/run/docker", "/run/containerd"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			found[path] = true
		}
	}
	return found
}

func (d *daemon) removeLeftovers() error {
	var problems []error
	for path := range leftovers() {
		if !d.found[path] {
			problems = append(problems, os.RemoveAll(path))
		}
	}
	return errors.Join(problems...)
}
