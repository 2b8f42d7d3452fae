package verify

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// thread is one of a container's.
type thread struct {
	tid, pid, parent int
	name             string
	cpus             cpuset.CPUSet
	attr             sched.Attr
}

func (t thread) String() string { return fmt.Sprintf("%d (%s)", t.tid, t.name) }

// ceiling is the most that a class lets a thread have.
type ceiling struct {
	class    string
	priority uint32
	deadline bool
}

// check compares a thread with the rules.
func (t thread) check(grant shield.Grant) shield.RuledThread {
	return grant.CheckThread(t.tid, t.name, reconcile.PlaceOf(t.attr, t.cpus))
}

// asRuled says whether a thread is just where the rule for its name puts it.
func (t thread) asRuled(grant shield.Grant) bool {
	checked := t.check(grant)
	return checked.Rule != "" && !checked.Misplaced()
}

// ceilingOf: a class that is not there any more, or allows less by now, leaves what was granted.
func ceilingOf(grant shield.Grant, classes map[string]shield.Class) ceiling {
	class := classes[grant.Class]
	priority := max(class.MaxPriority, grant.Priority, 0)
	for _, rule := range grant.Threads {
		priority = max(priority, rule.Priority)
	}
	return ceiling{
		class: grant.Class, priority: uint32(priority),
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
// them. Without a pid namespace of the container's own, a process that its parent left behind looks the same. One that is as its
// rule says has that of the watcher, who knows the container's own: what exec added has no rule.
func added(grant shield.Grant, now seen) []thread {
	if grant.Exec == shield.Inherit || !now.ownPIDs {
		return nil
	}
	inside := map[int]bool{}
	for _, t := range now.threads {
		inside[t.pid] = true
	}
	return filter(now.threads, func(t thread) bool {
		return t.tid == t.pid && t.pid != grant.Owner.PID && !inside[t.parent] && t.attr.RealTime() && !t.asRuled(grant)
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
