package shield

import (
	"sort"

	"k8s.io/utils/cpuset"
)

// planThreads moves threads that no cpuset can keep off the held CPUs: those in the root cgroup, or in one that a grant's
// cgroup is below.
//
// A thread inherits its parent's affinity, also into a container that is started meanwhile (runc resets it only since
// 1.2.7). One that was born since, with an affinity that we had given to others, gets back what they do: the kernel keeps
// no record of where an affinity came from.
func planThreads(ledger *Ledger, seen Observation) []Setting {
	held := ledger.Held()
	refuge := ledger.Housekeeping.Difference(held)
	hidden := ledger.partitioned()
	var settings []Setting
	for _, knob := range threadsInOrder(seen) {
		state := seen.Threads[knob]
		setting := Setting{Knob: knob, Now: state.CPUs.String(), Label: state.Name, Kernel: state.Kernel}
		recorded, onRecord := ledger.Baselines[knob.String()]
		known := onRecord
		if !known && state.Fixed == "" && !state.Kernel && ledger.Since > 0 && state.Start >= ledger.Since {
			recorded, known = ledger.Given[setting.Now]
		}
		baseline := state.CPUs
		// The kernel hides CPUs in a partition from what it says of threads outside, and shows them again by itself; but one
		// that was moved meanwhile keeps what it was told. One that misses only such CPUs had all.
		if state.Loose && !state.Kernel && seen.Online.Difference(baseline).IsSubsetOf(hidden) {
			baseline = seen.Online
		}
		if known {
			baseline, _ = cpuset.Parse(recorded)
			setting.Whole = baseline.String()
			// What it had of an offline CPU, or of one that its cpuset has to do without, it can only be given once that is back.
			setting.Follows = !baseline.IsSubsetOf(seen.Online) || len(ledger.Grants) > 0 && !baseline.IsSubsetOf(state.Allowed)
			if within := baseline.Intersection(state.Allowed); !within.IsEmpty() {
				baseline = within
			} else if !state.Loose { // the kernel has given it what there is
				baseline = state.CPUs
			}
		}
		want := baseline
		// An exempt thread is not pushed aside, but gets back what it inherited from one that was.
		if state.Loose && (!(state.Exempt || state.Left) || baseline.Equals(state.CPUs)) {
			want = lessTaken(baseline, held, refuge, seen.Online)
		}
		setting.Baseline, setting.Want = baseline.String(), want.String()
		setting.Clipped = state.Loose && !state.Kernel && !want.Equals(baseline) && baseline.Difference(want).IsSubsetOf(hidden)
		switch {
		case !setting.Differs():
		case state.Fixed != "":
			setting.Fixed = state.Fixed
		case state.Exempt && baseline.Equals(state.CPUs):
			setting.Fixed = Exempt
		case state.Left && baseline.Equals(state.CPUs):
			setting.Fixed = LeftHelper
		case want.Intersection(state.Allowed).IsEmpty(): // EINVAL
			setting.Fixed = "its cpuset has no other CPU"
		}
		inherited := known && setting.Baseline != setting.Now
		if onRecord || inherited || setting.Differs() {
			settings = append(settings, setting)
		}
	}
	return settings
}

// partitioned gives the CPUs that are in partitions.
func (l *Ledger) partitioned() cpuset.CPUSet {
	return heldBy(without(l.Grants, func(g Grant) bool { return g.Level != LevelPartition }))
}

func threadsInOrder(seen Observation) []Knob {
	knobs := make([]Knob, 0, len(seen.Threads))
	for knob := range seen.Threads {
		knobs = append(knobs, knob)
	}
	sort.Slice(knobs, func(i, j int) bool { return knobs[i].Name < knobs[j].Name })
	return knobs
}
