package shield

import (
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// The order of writes. Who would bring interrupts back is told before they are moved. What is given up goes first,
// deepest directory first; then the others are pushed aside; then what is taken, outermost directory first: the kernel
// refuses a cgroup that has more than its parent (EINVAL), and exclusive CPUs that a sibling still uses. A fair server is turned off before its CPU is in a partition, and on again after: 6.12
// refuses it (EBUSY) in an isolated one, as on a CPU of isolcpus=.
const (
	tell = iota
	endPartition
	giveUp
	pushAside
	take
	makePartition
	setGovernor // before what changes with it
	setPower
)

func (s Setting) phase() int {
	switch s.Kind {
	case Irqbalance, IrqbalanceAlone:
		return tell
	case Partition:
		if s.Want == Member {
			return endPartition
		}
		return makePartition
	case Governor:
		return setGovernor
	case WakeLatency, MinFreq, Preference:
		return setPower
	case RTBudget, Exclusive, HugePagePool:
		if s.raises() {
			return take
		}
		return giveUp
	case Cpuset:
		if s.raises() {
			return take
		}
	}
	return pushAside
}

func before(a, b Setting) bool {
	pa, pb := a.phase(), b.phase()
	if pa != pb {
		return pa < pb
	}
	if (pa != pushAside || a.Kind == Cpuset) && a.Kind == b.Kind {
		if da, db := depth(a.Name), depth(b.Name); da != db {
			return (da < db) == (pa >= take)
		}
	}
	if a.Kind != b.Kind {
		return a.Kind < b.Kind
	}
	return naturalLess(a.Name, b.Name)
}

// raises says whether the kernel gets more to hold than it holds now.
func (s Setting) raises() bool {
	if s.Kind == Exclusive || s.Kind == Cpuset {
		now, _ := cpuset.Parse(s.Now)
		want, _ := cpuset.Parse(s.Want)
		return !want.IsSubsetOf(now)
	}
	now, _ := strconv.ParseInt(s.Now, 10, 64)
	want, _ := strconv.ParseInt(s.Want, 10, 64)
	return want > now
}

func depth(dir string) int { return strings.Count(dir, "/") }
