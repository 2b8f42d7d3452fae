package verify

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// seen is what was read of one container.
type seen struct {
	places, cpuset               []promise.Reading
	nodes, thp, ksm, swap, bound *promise.Reading
	quota                        *promise.Reading
	throttled                    string
	ways                         error       // its group of resctrl does not have its ways of the L3
	first                        *sched.Attr // nil: its first thread has ended, and others run
	ruled                        bool        // its program runs, and a rule is for its first thread
	firstErr                     error
	threads                      []thread
	threadsErr                   error
	ownPIDs                      bool // it has a pid namespace of its own
	throttle                     shield.Budget
	throttleBinds                bool
}

// ownPromises compares what a container has itself.
func ownPromises(grant shield.Grant, ceiling ceiling, now seen) []Promise {
	promises := []Promise{firstThread(grant, now)}
	promises = append(promises, threadPromises(grant, ceiling, now)...)
	cpus := "CPU " + grant.CPUsText()
	promises = append(promises, kept("cpuset", shield.Cpuset, cpus+", also in effect", append(slices.Clone(now.cpuset), now.places...)...))
	if now.nodes != nil {
		promises = append(promises, kept("memory", shield.Cpuset, "new memory is of node "+grant.Mems.String(), *now.nodes))
	}
	for _, memory := range []struct {
		reading *promise.Reading
		kind    shield.Kind
		what    string
	}{
		{now.bound, "", "bound to node " + grant.Mems.String()}, {now.thp, "", "no transparent huge pages"},
		{now.ksm, "", "not merged with that of others"}, {now.swap, swapKind, "not swapped out"},
	} {
		if memory.reading != nil {
			promises = append(promises, kept("memory", memory.kind, memory.what, *memory.reading))
		}
	}
	if now.quota != nil {
		what, by := "none on its CPUs", "one"
		if grant.Share.Limited() {
			what, by = grant.Share.String(), "it"
		}
		if now.throttled != "" {
			what += "; " + by + " has held it up " + now.throttled + " times"
		}
		promises = append(promises, kept("quota", quotaKind, what, *now.quota))
	}
	if len(grant.Ways) > 0 {
		promises = append(promises, cachePromise(grant, now.ways))
	}
	if throttling, promised := throttlePromise(grant, now); promised {
		promises = append(promises, throttling)
	}
	return promises
}

// kept holds if all readings are as promised; else it tells of the first that is not.
func kept(name string, kind shield.Kind, what string, readings ...promise.Reading) Promise {
	for _, reading := range readings {
		switch {
		case reading.Err != nil:
			return Promise{Name: name, Mark: Unknown, What: reading.Where + " cannot be read", Why: reading.Err.Error()}
		case !reading.Kept():
			broken := Promise{
				Name: name, Mark: Broken, What: fmt.Sprintf("%s is %q and should be %q", reading.Where, reading.Now, reading.Want),
				Why: status.Changed, Help: reading.Help, kind: kind,
			}
			if reading.File != "" {
				broken.Help = repair
			}
			return broken
		}
	}
	return Promise{Name: name, Mark: Holds, What: what}
}

func cachePromise(grant shield.Grant, broken error) Promise {
	if broken != nil {
		return Promise{Name: "cache", Mark: Broken, What: broken.Error(), Why: status.Changed, Help: "restart it: the runtime makes its group of resctrl"}
	}
	return Promise{Name: "cache", Mark: Holds, What: fmt.Sprintf("its group has the ways %s of the L3", grant.Ways)}
}

func firstThread(grant shield.Grant, now seen) Promise {
	want := promise.Attr(grant)
	switch {
	case now.firstErr != nil:
		return Promise{Name: "policy", Mark: Unknown, What: fmt.Sprintf("that of pid %d cannot be read", grant.Owner.PID), Why: now.firstErr.Error()}
	case now.first == nil:
		return Promise{Name: "policy", Mark: Holds, What: grant.PolicyText() + ", until its first thread ended"}
	case now.ruled:
		return ruledFirst(grant, now)
	case *now.first != want:
		return Promise{
			Name: "policy", Mark: Broken, What: fmt.Sprintf("its first thread has %s and should have %s", policyText(*now.first), policyText(want)),
			Why: "its program or somebody else changed it", Help: repair,
		}
	}
	return Promise{Name: "policy", Mark: Holds, What: grant.PolicyText() + " of its first thread"}
}

// ruledFirst: where a rule is for the first thread, that says what it has.
func ruledFirst(grant shield.Grant, now seen) Promise {
	for _, t := range now.threads {
		if t.tid != grant.Owner.PID {
			continue
		}
		checked := t.check(grant)
		if !checked.Misplaced() {
			return Promise{Name: "policy", Mark: Holds, What: fmt.Sprintf("%s of its first thread, by %s", checked.Now, checked.Rule)}
		}
		return Promise{
			Name: "policy", Mark: Broken, What: fmt.Sprintf("its first thread has %s and should have %s, by %s", checked.Now, checked.Want, checked.Rule),
			Why: "its program or somebody else changed it", Help: repair,
		}
	}
	return Promise{Name: "policy", Mark: Unknown, What: fmt.Sprintf("that of pid %d cannot be read", grant.Owner.PID), Why: "it is not among the threads of the container"}
}

// throttlePromise: the whole host's bound on real-time threads takes from them before Linux 6.12, later only with groups that have
// budgets of their own.
func throttlePromise(grant shield.Grant, now seen) (Promise, bool) {
	then := grant.Throttle
	if then.Period == 0 || now.throttle.Period == 0 || !now.throttleBinds {
		return Promise{}, false
	}
	if share(now.throttle) < share(then) {
		return Promise{
			Name: "throttling", Mark: Broken, What: fmt.Sprintf("real-time threads may have %s of each CPU of this host, and could have %s when it got its CPUs", percent(now.throttle), percent(then)),
			Why: status.Changed, Help: fmt.Sprintf("sysctl kernel.sched_rt_period_us=%d kernel.sched_rt_runtime_us=%d", then.Period, then.Runtime), kind: throttleKind,
		}, true
	}
	return Promise{Name: "throttling", Mark: Holds, What: "this host lets real-time threads have " + percent(now.throttle) + " of a CPU, as it did"}, true
}

// share: -1 is all.
func share(b shield.Budget) float64 {
	if b.Runtime < 0 {
		return 1
	}
	return float64(b.Runtime) / float64(b.Period)
}

func percent(b shield.Budget) string { return strconv.FormatFloat(100*share(b), 'f', -1, 64) + " %" }

// policyText gives a policy as people write it, as Grant.PolicyText does.
func policyText(attr sched.Attr) string {
	names := map[uint32]shield.Policy{
		unix.SCHED_FIFO: shield.FIFO, unix.SCHED_RR: shield.RR, unix.SCHED_DEADLINE: shield.Deadline, unix.SCHED_BATCH: shield.Batch,
		unix.SCHED_NORMAL: shield.Other,
	}
	policy, known := names[attr.Policy]
	if !known {
		return fmt.Sprintf("policy %d", attr.Policy)
	}
	text := shield.Grant{
		Policy: policy, Priority: int(attr.Priority), Nice: int(attr.Nice),
		Deadline: shield.Bandwidth{Runtime: attr.Runtime, Deadline: attr.Deadline, Period: attr.Period},
	}.PolicyText()
	if attr.ResetOnFork && policy != shield.Deadline {
		text += " (reset on fork)"
	}
	return text
}
