package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// seen is what was read of one container.
type seen struct {
	places, cpuset          []promise.Reading
	nodes, thp, swap, bound *promise.Reading
	quota                   *promise.Reading
	throttled               string
	first                   *sched.Attr // nil: its first thread has ended, and others run
	firstErr                error
	threads                 []thread
	threadsErr              error
	ownPIDs                 bool // it has a pid namespace of its own
	throttle                shield.Budget
	throttleBinds           bool
}

// thread is one of a container's.
type thread struct {
	tid, pid, parent int
	name             string
	cpus             cpuset.CPUSet
	attr             sched.Attr
}

func (t thread) String() string { return fmt.Sprintf("%d (%s)", t.tid, t.name) }

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
		{now.bound, "", "bound to node " + grant.Mems.String()}, {now.thp, "", "no transparent huge pages"}, {now.swap, swapKind, "not swapped out"},
	} {
		if memory.reading != nil {
			promises = append(promises, kept("memory", memory.kind, memory.what, *memory.reading))
		}
	}
	if now.quota != nil {
		what := "none on its CPUs"
		if now.throttled != "" {
			what += "; one has held it up " + now.throttled + " times"
		}
		promises = append(promises, kept("quota", quotaKind, what, *now.quota))
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

func firstThread(grant shield.Grant, now seen) Promise {
	want := promise.Attr(grant)
	switch {
	case now.firstErr != nil:
		return Promise{Name: "policy", Mark: Unknown, What: fmt.Sprintf("that of pid %d cannot be read", grant.Owner.PID), Why: now.firstErr.Error()}
	case now.first == nil:
		return Promise{Name: "policy", Mark: Holds, What: grant.PolicyText() + ", until its first thread ended"}
	case *now.first != want:
		return Promise{
			Name: "policy", Mark: Broken, What: fmt.Sprintf("its first thread has %s and should have %s", policyText(*now.first), policyText(want)),
			Why: "its program or somebody else changed it", Help: repair,
		}
	}
	return Promise{Name: "policy", Mark: Holds, What: grant.PolicyText() + " of its first thread"}
}

// ceiling is the most that a class lets a thread have.
type ceiling struct {
	class    string
	priority uint32
	deadline bool
}

// ceilingOf: a class that is not there any more leaves what was granted.
func ceilingOf(grant shield.Grant, classes map[string]shield.Class) ceiling {
	class := classes[grant.Class]
	return ceiling{
		class: grant.Class, priority: uint32(max(class.MaxPriority, grant.Priority, 0)),
		deadline: class.Policy == shield.Deadline || grant.Policy == shield.Deadline,
	}
}

// above gives the threads that run before what the class allows.
func (c ceiling) above(threads []thread) []thread {
	return filter(threads, func(t thread) bool {
		return t.attr.Policy == unix.SCHED_DEADLINE && !c.deadline || t.attr.Priority > c.priority
	})
}

// lower is what such a thread may have.
func (c ceiling) lower(attr sched.Attr) sched.Attr {
	if attr.Policy == unix.SCHED_DEADLINE || c.priority == 0 {
		return sched.Attr{Policy: unix.SCHED_NORMAL, ResetOnFork: attr.ResetOnFork}
	}
	attr.Priority = c.priority
	return attr
}

// leaving gives the threads that may run on CPUs that the container does not have.
func leaving(grant shield.Grant, threads []thread) []thread {
	return filter(threads, func(t thread) bool { return !t.cpus.IsSubsetOf(grant.Cpuset().CPUSet) })
}

// added gives the first threads of what exec added, which came in from outside, and run real-time though the class demotes
// them. Without a pid namespace of the container's own, a process that its parent left behind looks the same.
func added(grant shield.Grant, now seen) []thread {
	if grant.Exec == shield.Inherit || !now.ownPIDs {
		return nil
	}
	inside := map[int]bool{}
	for _, t := range now.threads {
		inside[t.pid] = true
	}
	return filter(now.threads, func(t thread) bool {
		return t.tid == t.pid && t.pid != grant.Owner.PID && !inside[t.parent] && t.attr.RealTime()
	})
}

func threadPromises(grant shield.Grant, ceiling ceiling, now seen) []Promise {
	if now.threadsErr != nil {
		return []Promise{{Name: "threads", Mark: Unknown, What: "they cannot be looked at", Why: now.threadsErr.Error()}}
	}
	var promises []Promise
	broken := func(name string, threads []thread, what string, of func(thread) string, why string) {
		if len(threads) > 0 {
			promises = append(promises, Promise{
				Name: name, Mark: Broken, What: fmt.Sprintf("%s: %s", some(threads, of), what), Why: why, Help: repair,
			})
		}
	}
	policy := func(t thread) string { return policyText(t.attr) }
	broken("threads", ceiling.above(now.threads), fmt.Sprintf("class %s allows %s", ceiling.class, ceiling), policy, "its program or somebody else raised it")
	broken("threads", leaving(grant, now.threads), "its CPUs are "+grant.CPUsText(),
		func(t thread) string { return "may run on CPU " + t.cpus.String() }, "it was moved out of the container's cgroup, or that was widened")
	if len(promises) == 0 {
		promises = append(promises, Promise{
			Name: "threads", Mark: Holds, What: fmt.Sprintf("%d, on CPU %s, with at most %s", len(now.threads), grant.CPUsText(), ceiling),
		})
	}
	broken("exec", added(grant, now), "what exec adds runs ordinary (exec = demote)", policy, "it was started past rtshield, or raised")
	return promises
}

func (c ceiling) String() string {
	switch {
	case c.deadline:
		return fmt.Sprintf("deadline and real-time priority %d", c.priority)
	case c.priority == 0:
		return "no real-time policy"
	}
	return fmt.Sprintf("real-time priority %d", c.priority)
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

// some names threads with what each has, the first few of many.
func some(threads []thread, of func(thread) string) string {
	const few = 3
	var words []string
	for i, t := range threads {
		if i == few {
			words = append(words, fmt.Sprintf("and %d more", len(threads)-few))
			break
		}
		words = append(words, fmt.Sprintf("thread %s %s", t, of(t)))
	}
	return strings.Join(words, ", ")
}

func filter(threads []thread, keep func(thread) bool) []thread {
	var kept []thread
	for _, t := range threads {
		if keep(t) {
			kept = append(kept, t)
		}
	}
	return kept
}
