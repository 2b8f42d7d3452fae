package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupParent is the cgroup that holds the tests' containers: two levels, so that budgets have ancestors to go through.
const CgroupParent = "/" + top + "/a"

const top = "rtshield-test"

const cgroupMount = "/sys/fs/cgroup"

// hierarchies lists the cgroup mounts: one for each v1 controller, or the unified one.
func hierarchies() []string {
	if _, err := os.Stat(cgroupMount + "/cgroup.controllers"); err == nil {
		return []string{cgroupMount}
	}
	entries, _ := os.ReadDir(cgroupMount)
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() { // and no link, such as cpu -> cpu,cpuacct
			dirs = append(dirs, filepath.Join(cgroupMount, entry.Name()))
		}
	}
	return dirs
}

// makeCgroups makes the parents before a test's snapshot: runc would make them too, and leave them, and what becomes of
// their budgets is what the tests are about.
func makeCgroups() error {
	for _, mount := range hierarchies() {
		for dir := range parents(mount) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := errors.Join(inherit(dir), enable(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// enable gives what is below a cgroup v2 all that it has itself, as the delegates do with their first container.
func enable(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for name := range strings.FieldsSeq(string(controllers)) {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0))
	}
	return err
}

// inherit gives a cpuset of cgroup v1 what its parent has: it starts empty and takes no process.
func inherit(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		above, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil || len(above) < 2 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), above, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// MakeCpuset makes a cgroup with all that its parent has, in the hierarchy of the cpuset controller. It goes with the rig's
// others.
func MakeCpuset(r *Rig, cgroup string) {
	r.Helper()
	dir := Cgroup("cpuset", cgroup, "")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = inherit(dir)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// parents goes down from right below a mount to CgroupParent.
func parents(mount string) func(func(string) bool) {
	return func(yield func(string) bool) {
		dir := mount
		for part := range strings.SplitSeq(strings.Trim(CgroupParent, "/"), "/") {
			if dir = filepath.Join(dir, part); !yield(dir) {
				return
			}
		}
	}
}

func removeCgroups() error {
	var problems []error
	for _, mount := range hierarchies() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(mount, top), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			if err := unix.Rmdir(dirs[i]); err != nil && !errors.Is(err, unix.ENOENT) {
				problems = append(problems, fmt.Errorf("rmdir %s: %w", dirs[i], err))
			}
		}
	}
	return errors.Join(problems...)
}

// MakeCgroup makes a cgroup in every hierarchy, with all that its parent has. It goes with the rig's others.
func MakeCgroup(r *Rig, cgroup string) {
	r.Helper()
	for _, mount := range hierarchies() {
		dir := filepath.Join(mount, cgroup)
		if err := errors.Join(os.Mkdir(dir, 0o755), inherit(dir)); err != nil {
			r.Fatal(err)
		}
	}
}

// Clear ends the processes of a container's cgroup and removes it, where its runtime was killed and does not.
func Clear(r *Rig, cgroup string) {
	r.Helper()
	r.Eventual(func() error {
		killAll(cgroup)
		var problems []error
		for _, mount := range hierarchies() {
			if err := unix.Rmdir(filepath.Join(mount, cgroup)); err != nil && !errors.Is(err, unix.ENOENT) {
				problems = append(problems, err)
			}
		}
		return errors.Join(problems...)
	})
}

// killAll ends the processes of a cgroup of ours.
func killAll(cgroup string) {
	for _, mount := range hierarchies() {
		data, _ := os.ReadFile(filepath.Join(mount, cgroup, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// Cgroup gives a file of a controller's hierarchy, v1 or unified.
func Cgroup(controller, cgroup, file string) string {
	mount := filepath.Join(cgroupMount, controller)
	if _, err := os.Stat(mount); err != nil {
		mount = cgroupMount
	}
	return filepath.Join(mount, cgroup, file)
}

// Text reads a file of the kernel's.
func (r *Rig) Text(path string) string {
	r.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// Number reads a number.
func (r *Rig) Number(path string) int64 {
	r.Helper()
	n, err := strconv.ParseInt(r.Text(path), 10, 64)
	if err != nil {
		r.Fatal(err)
	}
	return n
}
