package reconcile

import (
	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/shield"
)

// sweep takes out of the ledger what belongs to nobody any more: the runtime was killed before its hook ran, or the
// container ended and no engine came to delete it. It returns their names.
func sweep(root host.Root, ledger *shield.Ledger) []string {
	var dropped []string
	for i := range ledger.Grants {
		endMove(root, &ledger.Grants[i])
	}
	for _, grant := range append([]shield.Grant(nil), ledger.Grants...) {
		if !Live(root, grant) {
			outlast(grant)
			ledger.Release(grant.Key)
			dropped = append(dropped, grant.Name)
		}
	}
	for _, ordinary := range append([]shield.Ordinary(nil), ledger.Ordinary...) {
		if !Lives(root, ordinary) {
			ledger.Release(ordinary.Key)
		}
	}
	return dropped
}

// endMove ends the move to other CPUs of a container whose rtshield was killed on the way: it stays where its cgroup says.
func endMove(root host.Root, grant *shield.Grant) {
	if grant.Move == nil || root.Alive(grant.Move.Owner.PID, grant.Move.Owner.Start) {
		return
	}
	moved := *grant
	moved.CPUs = grant.Move.CPUs
	if now, err := hostcpuset.CPUs(root, grant.Cgroups.Cpuset); err == nil && now.Equals(moved.Cpuset().CPUSet) {
		grant.CPUs, grant.Idle, grant.Asked.CPUs = grant.Move.CPUs, grant.Move.Idle, grant.Move.CPUs.String()
		if mems, err := root.ReadList(grant.Cgroups.Cpuset, "cpuset.mems"); err == nil {
			grant.Mems = shield.CPUsOf(mems)
		}
	}
	grant.Move = nil
}

// lives: a container without a pid namespace of its own can outlive its first process, so its cgroup counts too.
func lives(root host.Root, owner shield.Owner, bound bool, cgroup string) bool {
	if root.Alive(owner.PID, owner.Start) {
		return true
	}
	return bound && cgroup != "" && root.CgroupPopulated(cgroup)
}

// Live says whether a grant's container still runs or is being made. A trial is over with who makes it.
func Live(root host.Root, grant shield.Grant) bool {
	return lives(root, grant.Owner, grant.Bound && grant.Key != TrialKey, grant.Cgroups.Cpuset)
}

// Lives is Live for a container without CPUs of its own.
func Lives(root host.Root, ordinary shield.Ordinary) bool {
	return lives(root, ordinary.Owner, ordinary.Bound, ordinary.Cpuset)
}

// Stale says whether anything in the ledger has lost its owner, so that a Run has something to clean up.
func Stale(root host.Root, ledger *shield.Ledger) bool {
	for _, grant := range ledger.Grants {
		if !Live(root, grant) {
			return true
		}
	}
	for _, ordinary := range ledger.Ordinary {
		if !Lives(root, ordinary) {
			return true
		}
	}
	// A knob with a baseline that no grant takes anything from: the last release was killed on its way.
	return len(ledger.Grants) == 0 && len(ledger.Baselines) > 0 && len(ledger.Ordinary) == 0
}
