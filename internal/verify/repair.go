package verify

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Repair runs reconcile, and mends what is no knob: what each container's own cgroup says, and the policies of its threads. It
// gives a line for each thing that it mended, or could not.
func Repair(root host.Root, session *shield.Session, classes map[string]shield.Class) (report reconcile.Report, mended []string, err error) {
	note := func(grant shield.Grant, what, was, now string, err error) {
		line := fmt.Sprintf("%s of %s: %s → %s", what, grant.Name, was, now)
		if err != nil {
			line = fmt.Sprintf("%s of %s stays %s: %s", what, grant.Name, was, strings.TrimSpace(err.Error()))
		}
		mended = append(mended, line)
	}
	for _, grant := range whole(root, session.Ledger) { // first: its partition rests on its cpuset
		mendCgroup(root, grant, note)
	}
	if report, err = reconcile.Run(root, session); err != nil {
		return report, mended, err
	}
	cameBack := false
	for _, grant := range append(whole(root, session.Ledger), sharedGrants(root, session.Ledger)...) { // last: a real-time policy rests on a budget
		cameBack = mendThreads(root, grant, ceilingOf(grant, classes), note) || cameBack
	}
	if !cameBack {
		return report, mended, nil
	}
	// Before Linux 6.2 a thread that comes back into a cgroup may run on all CPUs of that, whatever its own were.
	again, err := reconcile.Run(root, session)
	report.Changed, report.Refused = append(report.Changed, again.Changed...), again.Refused
	return report, mended, err
}

// whole gives the grants that live and are where they shall be.
func whole(root host.Root, ledger *shield.Ledger) []shield.Grant {
	var grants []shield.Grant
	for _, grant := range ledger.Grants {
		if grant.Bound && grant.Move == nil && reconcile.Live(root, grant) {
			grants = append(grants, grant)
		}
	}
	return grants
}

type noter func(grant shield.Grant, what, was, now string, err error)

// mendCgroup writes what the container's own cgroup should say, and brings its first process back into it.
func mendCgroup(root host.Root, grant shield.Grant, note noter) {
	now := read(root, grant, false)
	readings := now.cpuset
	for _, reading := range []*promise.Reading{now.nodes, now.swap} {
		if reading != nil {
			readings = append(readings, *reading)
		}
	}
	for _, reading := range readings {
		if reading.File != "" && reading.Err == nil && !reading.Kept() {
			note(grant, reading.File, reading.Now, reading.Want, root.Write(reading.Want, reading.File))
		}
	}
	away := slices.ContainsFunc(now.places, func(place promise.Reading) bool { return !place.Kept() })
	// What bounds a process that is elsewhere is not its container's, unless the grant names the cgroup.
	if quota := now.quota; quota != nil && quota.Err == nil && !quota.Kept() && (!away || grant.Cgroups.CPU != "") {
		note(grant, quota.File, quota.Now, quota.Want, promise.SetQuota(root, *quota, grant))
	}
	for _, reading := range now.places {
		if reading.Err == nil && !reading.Kept() {
			err := root.Write(fmt.Sprint(grant.Owner.PID), reading.File)
			note(grant, fmt.Sprintf("cgroup of pid %d", grant.Owner.PID), reading.Now, reading.Want, err)
		}
	}
}

// mendThreads gives the first thread its policy, and no other thread more than it may have. Those with a rule have their places of
// the reconcile before. cameBack says whether some had to be brought back into the container's cgroup.
func mendThreads(root host.Root, grant shield.Grant, ceiling ceiling, note noter) (cameBack bool) {
	now := read(root, grant, false)
	lower := func(t thread, want sched.Attr) {
		err := sched.Set(t.tid, want)
		if host.Gone(err) {
			return
		}
		note(grant, fmt.Sprintf("policy of thread %s", t), policyText(t.attr), policyText(want), err)
	}
	done := map[int]bool{}
	if want := promise.Attr(grant); now.first != nil && !now.ruled && *now.first != want {
		done[grant.Owner.PID] = true
		err := promise.SetPolicy(grant.Owner.PID, grant)
		if err == nil && grant.Mask != "" { // in real time it did not belong where it is at home
			_, err = reconcile.Pin(grant.Owner.PID, grant)
		}
		note(grant, fmt.Sprintf("policy of pid %d", grant.Owner.PID), policyText(*now.first), policyText(want), err)
	}
	for _, t := range added(grant, now) {
		done[t.tid] = true
		lower(t, sched.Attr{Policy: unix.SCHED_NORMAL})
	}
	for _, t := range ceiling.above(now.threads) {
		if !done[t.tid] {
			lower(t, ceiling.lower(t.attr))
		}
	}
	moved := map[int]bool{}
	for _, t := range leaving(grant, now.threads) { // with its whole process: on cgroup v1 a thread can be elsewhere alone
		if !moved[t.pid] && !grant.Pinned {
			moved[t.pid] = true
			err := root.Write(fmt.Sprint(t.pid), grant.Cgroups.Cpuset, "cgroup.procs")
			note(grant, fmt.Sprintf("CPUs of thread %s", t), t.cpus.String(), grant.Cpuset().String(), err)
		}
	}
	return len(moved) > 0
}
