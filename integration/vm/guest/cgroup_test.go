//go:build vmguest

package guest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mount = "/sys/fs/cgroup"
	// parent holds the tests' containers, two levels below the root, as an engine's slices do.
	parent = "/pods/a"
)

// unified: cgroup v2 alone, as against v1 with an empty v2 hierarchy beside it.
func unified() bool {
	_, err := os.Stat(mount + "/cgroup.controllers")
	return err == nil
}

func hierarchies() []string {
	if unified() {
		return []string{mount}
	}
	entries, _ := os.ReadDir(mount)
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() {
			dirs = append(dirs, filepath.Join(mount, entry.Name()))
		}
	}
	return dirs
}

// cpusetMount is the hierarchy with the cpuset controller.
func cpusetMount() string {
	if unified() {
		return mount
	}
	return mount + "/cpuset"
}

// makeCgroups makes the parents before any snapshot: the delegates would make them too, and leave them.
func makeCgroups() error {
	for _, hierarchy := range hierarchies() {
		for dir := parent; dir != "/"; dir = filepath.Dir(dir) {
			if err := os.MkdirAll(hierarchy+dir, 0o755); err != nil {
				return err
			}
		}
	}
	if unified() {
		for _, dir := range []string{"", "/pods", parent} {
			if err := enable(dir); err != nil {
				return err
			}
		}
		return nil
	}
	for _, dir := range []string{"/pods", parent} {
		if err := inherit(cpusetMount() + dir); err != nil {
			return err
		}
	}
	return nil
}

// enable turns on all controllers below a cgroup v2, as the delegates would.
func enable(dir string) error {
	all, err := os.ReadFile(mount + dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	return os.WriteFile(mount+dir+"/cgroup.subtree_control", []byte("+"+strings.Join(strings.Fields(string(all)), " +")), 0)
}

// inherit gives a cpuset of cgroup v1 all that its parent has: it starts empty, and then takes no process.
func inherit(dir string) error {
	for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		above, err := os.ReadFile(filepath.Dir(dir) + file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+file, above, 0); err != nil {
			return err
		}
	}
	return nil
}

// killCgroup ends what a container has left, wherever it is.
func killCgroup(id string) {
	for _, hierarchy := range hierarchies() {
		dir := hierarchy + parent + "/" + id
		procs, err := os.ReadFile(dir + "/cgroup.procs")
		if err != nil {
			continue
		}
		for _, pid := range strings.Fields(string(procs)) {
			kill(pid)
		}
		_ = os.Remove(dir)
	}
}

// text reads a file of the kernel.
func text(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
