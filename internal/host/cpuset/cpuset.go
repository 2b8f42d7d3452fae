// Package cpuset reads and sets the CPUs of cgroups, v1 and v2.
package cpuset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// CPUs gives cpuset.cpus of a cgroup directory: the set asked for, empty on v2 for "all that the parent has".
func CPUs(root host.Root, dir string) (cpuset.CPUSet, error) {
	text, err := root.Read(dir, "cpuset.cpus")
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return cpuset.Parse(text)
}

// SetCPUs writes it. Empty clears it, which only v2 allows for a cgroup with processes.
func SetCPUs(root host.Root, dir string, cpus cpuset.CPUSet) error {
	return root.Write(cpus.String(), dir, "cpuset.cpus")
}

// Effective gives the CPUs that tasks of the directory really may use: cpuset.cpus.effective on v2,
// cpuset.effective_cpus on v1.
func Effective(root host.Root, dir string) (cpuset.CPUSet, error) {
	text, err := root.Read(dir, "cpuset.cpus.effective")
	if errors.Is(err, fs.ErrNotExist) {
		text, err = root.Read(dir, "cpuset.effective_cpus")
	}
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return cpuset.Parse(text)
}

// Nearest gives the first directory from dir upwards that has the cpuset controller, and fs.ErrNotExist if none has:
// on v2 a cgroup can live without it, bound by its ancestor's set.
func Nearest(root host.Root, dir, mount string) (string, error) {
	for at := dir; len(at) >= len(mount); at = filepath.Dir(at) {
		if _, err := root.Read(at, "cpuset.cpus"); err == nil {
			return at, nil
		}
		if at == mount {
			break
		}
	}
	return "", fmt.Errorf("no cpuset controller from %s up: %w", dir, fs.ErrNotExist)
}

// Exclusive gives cpuset.cpus.exclusive of a cgroup v2 directory (Linux 6.7).
func Exclusive(root host.Root, dir string) (cpuset.CPUSet, error) {
	return root.ReadList(dir, "cpuset.cpus.exclusive")
}

// SetExclusive writes it. EINVAL means that a sibling has some of the CPUs, or the parent has not all of them.
func SetExclusive(root host.Root, dir string, cpus cpuset.CPUSet) error {
	return root.Write(cpus.String(), dir, "cpuset.cpus.exclusive")
}

// PartitionType gives cpuset.cpus.partition: member, root or isolated, followed by "invalid (reason)" if the kernel
// cannot keep it.
func PartitionType(root host.Root, dir string) (string, error) {
	return root.Read(dir, "cpuset.cpus.partition")
}

// SetPartitionType writes it. The write succeeds even if the partition ends up invalid: read it back.
func SetPartitionType(root host.Root, dir, kind string) error {
	return root.Write(kind, dir, "cpuset.cpus.partition")
}

// Ability is what the kernel gives the cgroups of a v2 hierarchy.
type Ability struct {
	// Cpusets: the controller is there. Partitions: they can be made (Linux 6.1 knows isolated ones). Remote: anywhere in
	// the tree (6.7), not only right below the root.
	Cpusets, Partitions, Remote bool
}

// Probe asks a cgroup v2 mount. Kernels before 6.8 show what they can only in a cgroup below the root, and only where
// the controller is on: there it looks into a new one.
func Probe(root host.Root, mount string) Ability {
	controllers, _ := root.Read(mount, "cgroup.controllers")
	if !slices.Contains(strings.Fields(controllers), "cpuset") {
		return Ability{}
	}
	if _, err := os.Stat(root.Path(mount, "cpuset.cpus.isolated")); err == nil {
		return Ability{Cpusets: true, Partitions: true, Remote: true}
	}
	probe := root.Path(mount, probes+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(probe, 0o755); err != nil {
		return Ability{Cpusets: true}
	}
	defer os.Remove(probe)
	has := func(file string) bool {
		_, err := os.Stat(filepath.Join(probe, file))
		return err == nil
	}
	return Ability{Cpusets: true, Partitions: has("cpuset.cpus.partition"), Remote: has("cpuset.cpus.exclusive")}
}

// probes are directories that Probe makes, each with the pid of who looks.
const probes = "rtshield-probe-"

// CleanProbes removes those of processes that were killed while they looked.
func CleanProbes(root host.Root, mount string) {
	left, _ := filepath.Glob(root.Path(mount, probes+"*"))
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), probes))
		if err != nil {
			continue
		}
		if _, err := root.StartTime(pid); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(dir)
		}
	}
}
