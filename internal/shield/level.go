package shield

import (
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"
)

// How strongly others are kept off a grant's CPUs.
const (
	// LevelAffinity: the threads of others are moved away one by one, and may come back if they ask to.
	LevelAffinity = "affinity"
	// LevelCpuset: every other cpuset is shrunk, and the tasks that have none are moved.
	LevelCpuset = "cpuset"
	// LevelPartition: the kernel lets no task in but the container's (cgroup v2; Linux 6.7 anywhere in the tree, before
	// that right below the root).
	LevelPartition = "partition"
)

// Levels lists them, weakest first.
var Levels = []string{LevelAffinity, LevelCpuset, LevelPartition}

// Weaker says whether level a keeps others off less strongly than b. Nothing is weaker than "".
func Weaker(a, b string) bool { return slices.Index(Levels, a) < slices.Index(Levels, b) }

// chooseLevel gives the strongest level that the host, the layout and the request allow for these CPUs, and why it is no
// stronger one.
func chooseLevel(layout Layout, host Host, request Request, terms Terms, cpus, idle cpuset.CPUSet) (level, why string) {
	level, why = host.Level, host.Weaker
	weaken := func(most, reason string) {
		if Weaker(most, level) {
			level, why = most, reason
		}
	}
	// CPUs of isolcpus= have no other tasks already, and the kernel takes them into few partitions: 6.12 finds a conflict
	// with housekeeping, and gives them to everybody on the way.
	if booted := cpus.Union(idle).Intersection(host.Topology.Isolated); !booted.IsEmpty() {
		weaken(LevelCpuset, fmt.Sprintf("CPU %s is isolated at boot (isolcpus=, nohz_full=) and cannot be in a partition", booted))
	}
	if host.Local {
		switch {
		case depth(request.Cgroup) != 1:
			weaken(LevelCpuset, "before Linux 6.7 only a cgroup right below the root can be a partition")
		case !idle.IsEmpty():
			weaken(LevelCpuset, "before Linux 6.7 the idle siblings would take a second partition")
		}
	}
	switch {
	case terms.Mask.Shared:
		weaken(LevelCpuset, fmt.Sprintf("class %s shares the ordinary part with housekeeping CPUs (ordinary), and a partition has no CPU but its own", terms.Class.Name))
	case terms.Mask.Text == "" && terms.Class.ExecCPUs == ExecOnHousekeeping:
		weaken(LevelCpuset, fmt.Sprintf("class %s runs exec on housekeeping CPUs (exec_cpus), and a partition has no CPU but its own", terms.Class.Name))
	}
	if terms.Partition == "none" {
		weaken(LevelCpuset, "partition none was asked for")
	}
	if layout.Level != "" && layout.Level != "auto" {
		weaken(layout.Level, "[layout] level allows no more")
	}
	return level, why
}

// LevelOf gives the level that a grant has, and why it is no stronger one.
func LevelOf(layout Layout, host Host, request Request, terms Terms, grant Grant) (level, why string) {
	return chooseLevel(layout, host, request, terms, grant.CPUs.CPUSet, grant.Idle.CPUSet)
}

// setLevel gives the grant its level, or says why a promise about it cannot be kept.
func setLevel(grant *Grant, layout Layout, host Host, request Request, terms Terms) error {
	level, why := chooseLevel(layout, host, request, terms, grant.CPUs.CPUSet, grant.Idle.CPUSet)
	if byName := terms.Partition == Isolated || terms.Partition == Root; byName && level != LevelPartition {
		return fmt.Errorf("container %s asks for a partition of type %s; %s: leave rtshield.io/partition at auto", request.Name, terms.Partition, why)
	}
	if wanted := terms.Class.RequireLevel; wanted != "" && Weaker(level, wanted) {
		return fmt.Errorf("container %s: class %s requires level %s, and only %s can be had; %s: use another class, or lower its require_level",
			request.Name, terms.Class.Name, wanted, level, why)
	}
	grant.Level = level
	if level == LevelPartition {
		grant.Partition, grant.Local = partitionType(terms, grant.CPUs.CPUSet), host.Local
	}
	grant.Pinned = !host.Cpusets
	return nil
}
