package shield

import (
	"sort"

	"k8s.io/utils/cpuset"
)

// The types of a cgroup v2 cpuset (cpuset.cpus.partition).
const (
	Member   = "member"
	Root     = "root"
	Isolated = "isolated"
)

// planPartitions makes each grant's cgroup a remote partition (Linux 6.7): every directory above it lends it the CPUs
// (cpuset.cpus.exclusive), and it becomes root or isolated itself. Idle siblings are in a partition of their own,
// without any task. A local partition, right below the root, has its CPUs from cpuset.cpus.
func planPartitions(ledger *Ledger, seen Observation) []Setting {
	lends := map[string]cpuset.CPUSet{}
	types := map[string]string{}
	for _, grant := range ledger.Grants {
		chain := grant.Cgroups.Partition
		if len(chain) == 0 {
			continue
		}
		cpus, siblings := grant.CPUs.CPUSet, grant.Idle.CPUSet
		if grant.Move != nil {
			cpus = cpus.Union(grant.Move.CPUs.CPUSet)
			siblings = siblings.Union(grant.Move.Idle.CPUSet).Difference(cpus) // from a CPU to its sibling
		}
		if !grant.Local {
			for _, dir := range chain {
				lends[dir] = lends[dir].Union(cpus)
			}
		}
		types[chain[len(chain)-1]] = grant.Partition
		if idle := grant.Cgroups.Idle; idle != "" && !siblings.IsEmpty() {
			lends[idle] = lends[idle].Union(siblings)
			types[idle] = Isolated
		}
	}
	dirs := make([]string, 0, len(seen.Partitions))
	for dir := range seen.Partitions {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	var settings []Setting
	for _, dir := range dirs {
		state := seen.Partitions[dir]
		lent, touched := lends[dir]
		exclusive := Setting{Knob: Knob{Exclusive, dir}, Now: state.Exclusive.String()}
		kind := Setting{Knob: Knob{Partition, dir}, Now: state.Type}
		var exclusiveKnown, kindKnown bool
		if exclusive.Baseline, exclusiveKnown = ledger.Baselines[exclusive.Knob.String()]; !exclusiveKnown {
			exclusive.Baseline = exclusive.Now
		}
		if kind.Baseline, kindKnown = ledger.Baselines[kind.Knob.String()]; !kindKnown {
			kind.Baseline = kind.Now
		}
		baseline, _ := cpuset.Parse(exclusive.Baseline)
		exclusive.Want = baseline.Union(lent).String()
		kind.Want = kind.Baseline
		if wanted := types[dir]; wanted != "" {
			kind.Want = wanted
		}
		if touched || exclusiveKnown {
			settings = append(settings, exclusive)
		}
		if types[dir] != "" || kindKnown {
			settings = append(settings, kind)
		}
	}
	return settings
}

// partitionType chooses for a grant. Several CPUs are a root partition, which the kernel balances load in and which
// DEADLINE needs; a single one is isolated, which leaves it out of all balancing, as isolcpus= does.
func partitionType(terms Terms, cpus cpuset.CPUSet) string {
	switch {
	case terms.Partition == Root || terms.Partition == Isolated:
		return terms.Partition
	case terms.Policy == Deadline || cpus.Size() > 1:
		return Root
	}
	return Isolated
}
