package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// Policies are the kernel's numbers.
var Policies = map[shield.Policy]uint32{
	shield.FIFO: unix.SCHED_FIFO, shield.RR: unix.SCHED_RR, shield.Deadline: unix.SCHED_DEADLINE,
	shield.Other: unix.SCHED_NORMAL, shield.Batch: unix.SCHED_BATCH,
}

// Processes lists those of a container that came of its first one, or are known to have. What exec added did not: no rule is for
// it. Once the first has ended nobody can tell, and all count.
func Processes(root host.Root, grant shield.Grant, known map[int]bool) map[int]bool {
	alive := root.Alive(grant.Owner.PID, grant.Owner.Start)
	looked := map[int]bool{0: false, 1: false, grant.Owner.PID: true}
	own := map[int]bool{}
	for _, pid := range root.CgroupProcesses(grant.Cgroups.Cpuset) {
		if !alive || known[pid] || descends(root, pid, looked) {
			own[pid] = true
		}
	}
	return own
}

func descends(root host.Root, pid int, looked map[int]bool) bool {
	own, found := looked[pid]
	if found {
		return own
	}
	looked[pid] = false // a parent that has ended leads nowhere
	if stat, err := task.Read(root, pid); err == nil {
		looked[pid] = descends(root, stat.Parent, looked)
	}
	return looked[pid]
}

// Started says whether a container's program runs: before, its first process is the runtime's, and no rule is for that.
func Started(root host.Root, grant shield.Grant) bool {
	stat, err := task.Read(root, grant.Owner.PID)
	return err != nil || stat.Comm != grant.Starting
}

// placeOf gives a thread's name and place.
func placeOf(root host.Root, tid int) (name string, place shield.ThreadPlace, err error) {
	stat, err := task.Read(root, tid)
	if err != nil {
		return "", place, err
	}
	attr, errAttr := sched.Get(tid)
	cpus, errCPUs := task.Affinity(tid)
	return stat.Comm, PlaceOf(attr, cpus), errors.Join(errAttr, errCPUs)
}

// PlaceOf tells a policy and CPUs in the terms of rules.
func PlaceOf(attr sched.Attr, cpus cpuset.CPUSet) shield.ThreadPlace {
	place := shield.ThreadPlace{Priority: int(attr.Priority), CPUs: cpus}
	for policy, number := range Policies {
		if number == attr.Policy {
			place.Policy = policy
		}
	}
	return place
}

// Place gives thread tid of process pid what the container's rules say, and tells what it had and should have. changed is
// false for one that has it, that no rule is for, or that has ended.
func Place(root host.Root, grant shield.Grant, pid, tid int) (thread shield.RuledThread, changed bool, err error) {
	if unix.Tgkill(pid, tid, 0) != nil {
		return thread, false, nil // or its number is another's by now
	}
	name, now, err := placeOf(root, tid)
	if err != nil {
		return thread, false, ignoreGone(err)
	}
	thread = grant.CheckThread(tid, name, now)
	if !thread.Misplaced() {
		return thread, false, nil
	}
	want, _ := grant.Place(name, now)
	move := func() error { _, err := pinTo(tid, grant, want.CPUs); return err }
	change := func() error {
		attr := sched.Attr{Policy: Policies[want.Policy], Priority: uint32(want.Priority)}
		if !want.Policy.RealTime() {
			attr.Nice = int32(grant.Nice)
		}
		return sched.Set(tid, attr)
	}
	// Never real-time in the ordinary part: it comes there ordinary, and leaves for the other before it rises.
	steps := []func() error{change, move}
	if want.Policy.RealTime() && !now.Policy.RealTime() {
		steps = []func() error{move, change}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return thread, false, ignoreGone(err)
		}
	}
	return thread, true, nil
}

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// Threads lists the threads of a container that a rule is for, or that have what a rule gives and should not.
func Threads(root host.Root, grant shield.Grant) ([]shield.RuledThread, error) {
	var threads []shield.RuledThread
	err := eachThread(root, grant, func(_, tid int) error {
		name, now, err := placeOf(root, tid)
		if err != nil {
			return ignoreGone(err)
		}
		if thread := grant.CheckThread(tid, name, now); thread.Rule != "" || thread.Misplaced() {
			threads = append(threads, thread)
		}
		return nil
	})
	return threads, err
}

// eachThread visits the threads that the rules of a container are for.
func eachThread(root host.Root, grant shield.Grant, visit func(pid, tid int) error) error {
	if len(grant.Threads) == 0 || !grant.Bound || !Started(root, grant) {
		return nil
	}
	for _, pid := range slices.Sorted(maps.Keys(Processes(root, grant, nil))) {
		tids, err := task.Threads(root, pid)
		if ignoreGone(err) != nil {
			return err
		}
		for _, tid := range tids {
			if err := visit(pid, tid); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeThreads brings back the threads that are not as their rule says: the watcher is told of names, not of what a program
// does to its threads otherwise.
func placeThreads(root host.Root, ledger *shield.Ledger, report *Report) error {
	for _, grant := range ledger.Grants {
		err := eachThread(root, grant, func(pid, tid int) error {
			thread, changed, err := Place(root, grant, pid, tid)
			setting := shield.Setting{Knob: shield.Knob{Kind: shield.ByRule, Name: fmt.Sprintf("thread %d (%s)", tid, thread.Name)}, Now: thread.Now, Want: thread.Want}
			switch {
			case err != nil:
				report.Refused = append(report.Refused, Refusal{setting, err})
			case changed:
				setting.Now = thread.Want
				report.Changed = append(report.Changed, Change{setting, thread.Now})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
