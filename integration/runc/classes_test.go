package runc_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

const moreClasses = `
[class.polite]
policy = "other"
nice = 5
[class.strict]
policy = "fifo"
rtprio = "require"
[class.wishing]
policy = "fifo"
priority = 20
max_priority = 30
rtprio = true
memlock = false
`

func TestEachClassGivesItsPolicy(t *testing.T) {
	for _, c := range []struct {
		name             string
		edits            []rig.Edit
		policy, priority uint32
		nice             int32
	}{
		{"fifo", with("fifo"), unix.SCHED_FIFO, 50, 0},
		{"fifo with a priority within the ceiling", with("fifo", "priority", "80"), unix.SCHED_FIFO, 80, 0},
		{"fifo by its CPU's number", with("fifo", "cpuset", "1"), unix.SCHED_FIFO, 50, 0},
		{"rr", with("rr"), unix.SCHED_RR, 50, 0},
		{"rr out of class fifo", with("fifo", "policy", "rr"), unix.SCHED_RR, 50, 0},
		{"batch", with("batch"), unix.SCHED_BATCH, 0, 0},
		{"other with nice", with("polite"), unix.SCHED_NORMAL, 0, 5},
		{"a class of the file with its own priority", with("wishing"), unix.SCHED_FIFO, 20, 0},
		{"process.scheduler alone is a request for class fifo", []rig.Edit{scheduler(specs.SchedFIFO, 7)}, unix.SCHED_FIFO, 7, 0},
		{"process.scheduler with a class", []rig.Edit{rig.Class("fifo"), scheduler(specs.SchedRR, 9)}, unix.SCHED_RR, 9, 0},
		{"an annotation before process.scheduler", append(with("fifo", "priority", "11"), scheduler(specs.SchedFIFO, 7)), unix.SCHED_FIFO, 11, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig.EachWith(t, testhost.Options{Classes: moreClasses}, func(r *rig.Rig) {
				pid := r.Detach("c", r.Bundle("c", c.edits...))
				r.Runs(pid, c.policy, c.priority, shieldCPU)
				if nice := r.Sched(pid).Nice; nice != c.nice {
					r.Errorf("nice is %d, want %d", nice, c.nice)
				}
				if irqs := r.MovableIRQs(1); len(irqs) > 0 {
					r.Errorf("movable interrupts may reach CPU 1: %q", irqs)
				}
				r.End("c")
				r.AsBefore("after delete")
			})
		})
	}
}

func TestDeadlineIsRefusedWhereARootDomainHasMoreCPUs(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		res, _ := r.TryBegin("create", "dl", r.Bundle("dl", rig.Class("deadline")))
		if res.Code == 0 {
			r.Fatalf("this kernel takes SCHED_DEADLINE on a part of a root domain: %s", res)
		}
		has(r, "stderr", res.Stderr, "cannot have policy deadline", "root domain", "CPU 1")
		r.AsBefore("after the failed create")
		r.Gone("after the failed create")
	})
}

// mayRaise says whether this process may raise a hard limit, which root without CAP_SYS_RESOURCE may not.
func mayRaise(r *rig.Rig) bool {
	r.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_RTPRIO, &before); err != nil {
		r.Fatal(err)
	}
	if before.Max >= 80 {
		return true
	}
	if err := unix.Setrlimit(unix.RLIMIT_RTPRIO, &unix.Rlimit{Cur: before.Cur, Max: 80}); err != nil {
		return false
	}
	return unix.Setrlimit(unix.RLIMIT_RTPRIO, &before) == nil
}

func TestALimitThatThisHostMayNotRaiseIsALimitUnlessTheClassRequiresIt(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: moreClasses}, func(r *rig.Rig) {
		strict := r.Bundle("strict", rig.Class("strict"))
		if mayRaise(r) {
			pid := r.Detach("strict", strict)
			has(r, "limits", r.Text("/proc/self/limits"), "realtime priority")
			r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
			r.End("strict")
			return
		}
		refusedWhole(r, "require", "json", r.Rtshield, strict, "class strict requires rtprio", "may not raise a hard limit", "CAP_SYS_RESOURCE")
		r.Detach("wishing", r.Bundle("wishing", rig.Class("wishing")))
		status := r.Must(r.Shield("status")).Stdout
		has(r, "status", status, "limits of wishing", "RLIMIT_RTPRIO is not raised", "may not raise a hard limit")
		if strings.Contains(status, "RLIMIT_MEMLOCK") {
			r.Errorf("status speaks of a limit that the class does not ask for: %s", status)
		}
		r.End("wishing")
		r.AsBefore("after delete")
	})
}

func TestStatusNamesWhatLimitsTheShield(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		has(r, "status", r.Must(r.Shield("status")).Stdout, "housekeeping  CPU 0", "free          CPU none", "web", "fifo 50")
		has(r, "status --json", r.Must(r.Shield("status", "--json")).Stdout, `"pid": `+itoa(pid), `"policy": "fifo 50"`, `"cpus": "1"`)
		r.End("web")
		has(r, "status", r.Must(r.Shield("status")).Stdout, "free          CPU 1", "no container holds a CPU")
	})
}
