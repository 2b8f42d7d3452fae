package reconcile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

const errNoDevice = unix.ENODEV

// Report says what one reconcile did.
type Report struct {
	// Dropped are the containers whose owner had died without a release.
	Dropped []string
	// Changed are the settings that were written and read back.
	Changed []Change
	// Refused are those that the kernel did not take, with its reason.
	Refused []Refusal
}

// Change is a setting that was written. Now is what it reads since, Was what it read before.
type Change struct {
	shield.Setting
	Was string
}

// Refusal is a setting that the kernel did not take.
type Refusal struct {
	shield.Setting
	Err error
}

// Run brings the kernel to the plan of the open ledger and saves the ledger. Baselines are saved before the first
// write: killed at any moment, the next Run knows what the values were.
//
// A refused setting is in the report, not an error: whether it breaks a promise is for the caller to say.
func Run(root host.Root, session *shield.Session) (Report, error) {
	report := Report{Dropped: sweep(root, session.Ledger)}
	settings, seen, err := Plan(root, session.Ledger, nil)
	if err != nil {
		return report, err
	}
	forgetGone(session.Ledger, seen)
	record(session.Ledger, settings)
	if err := session.Save(); err != nil {
		return report, err
	}
	session.Unmovable = nil
	apply(root, session, settings, &report)
	if err := followThreads(root, session, &report); err != nil {
		return report, err
	}
	removeIdle(root, settings)
	return report, session.Save()
}

func apply(root host.Root, session *shield.Session, settings []shield.Setting, report *Report) {
	for _, setting := range settings {
		if setting.Differs() {
			was := setting.Now
			now, err := write(root, setting)
			if err != nil && gone(err) {
				delete(session.Baselines, setting.Knob.String())
				continue
			}
			setting.Now = now
			if err != nil {
				report.Refused = append(report.Refused, Refusal{setting, err})
				refuse(session.Ledger, setting.Knob, err)
			} else {
				report.Changed = append(report.Changed, Change{setting, was})
			}
		}
		if setting.Now == setting.Baseline { // nothing of ours in it, also where the kernel refused: nothing to restore
			delete(session.Baselines, setting.Knob.String())
		}
	}
}

// followThreads moves the threads that were born of others while those were being moved, until there are none.
func followThreads(root host.Root, session *shield.Session, report *Report) error {
	for round, moved := 0, threadsIn(report.Changed); moved > 0 && round < 3; round++ {
		seen := emptyObservation()
		topo, err := root.Topology()
		if err != nil {
			return err
		}
		seen.Online = topo.Online
		if err := observeThreads(root, session.Ledger, seen); err != nil {
			return err
		}
		settings := shield.Plan(session.Ledger, seen)
		settings = slices.DeleteFunc(settings, func(s shield.Setting) bool { return s.Kind != shield.Thread || s.Fixed != "" || !s.Differs() })
		record(session.Ledger, settings)
		if err := session.Save(); err != nil {
			return err
		}
		before := len(report.Changed)
		apply(root, session, settings, report)
		moved = threadsIn(report.Changed[before:])
	}
	return nil
}

func threadsIn(changes []Change) int {
	n := 0
	for _, change := range changes {
		if change.Kind == shield.Thread {
			n++
		}
	}
	return n
}

// IdleDir is the cgroup v2 directory, right below the mount, whose partition keeps idle siblings from all tasks.
const IdleDir = "rtshield-idle"

// removeIdle takes it away when nothing is idle any more.
func removeIdle(root host.Root, settings []shield.Setting) {
	for _, setting := range settings {
		if setting.Kind == shield.Partition && filepath.Base(setting.Name) == IdleDir && setting.Want == shield.Member {
			_ = os.Remove(root.Path(setting.Name)) // somebody's tasks in it keep it, as an ordinary cgroup
		}
	}
}

// forgetGone drops the baselines of knobs that no longer exist: their cgroup or device went away, and with it all that
// was to be restored.
func forgetGone(ledger *shield.Ledger, seen shield.Observation) {
	for name := range ledger.Baselines {
		knob, err := shield.ParseKnob(name)
		if err != nil {
			continue
		}
		var exists bool
		switch knob.Kind {
		case shield.RTBudget:
			_, exists = seen.Budgets[knob.Name]
		case shield.Exclusive, shield.Partition:
			_, exists = seen.Partitions[knob.Name]
		case shield.Thread:
			_, exists = seen.Threads[knob]
		default:
			_, exists = seen.Masks[knob]
		}
		if !exists {
			delete(ledger.Baselines, name)
		}
	}
}

func record(ledger *shield.Ledger, settings []shield.Setting) {
	for _, setting := range settings {
		name := setting.Knob.String()
		// A baseline that differs from now is one that the thread or cpuset got from its parent.
		ours := setting.Differs() || setting.Baseline != setting.Now
		if _, known := ledger.Baselines[name]; known || !ours || setting.Fixed != "" {
			continue
		}
		if setting.Kind == shield.Thread && ledger.Since == 0 {
			ledger.Since = firstStart(ledger)
		}
		if ledger.Baselines == nil {
			ledger.Baselines = map[string]string{}
		}
		ledger.Baselines[name] = setting.Baseline
	}
}

// firstStart is when the oldest grant's owner started: threads that were moved were there before, or are its children.
func firstStart(ledger *shield.Ledger) uint64 {
	first := uint64(0)
	for _, grant := range ledger.Grants {
		if first == 0 || grant.Owner.Start < first {
			first = grant.Owner.Start
		}
	}
	return first
}

func refuse(ledger *shield.Ledger, knob shield.Knob, err error) {
	if ledger.Unmovable == nil {
		ledger.Unmovable = map[string]string{}
	}
	ledger.Unmovable[knob.String()] = Reason(err)
}

// Reason puts a refusal into words for people.
func Reason(err error) string {
	for _, known := range []error{irq.ErrManaged, irq.ErrNoVector} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}

// write sets one knob and gives what the kernel says afterwards: a write is not done until it was read back.
func write(root host.Root, setting shield.Setting) (now string, err error) {
	if setting.Fixed != "" {
		return setting.Now, errors.New(setting.Fixed)
	}
	err = set(root, setting)
	now, readErr := read(root, setting.Knob)
	switch {
	case err != nil && readErr != nil:
		return setting.Now, err
	case err != nil:
		return now, err
	case readErr != nil:
		return setting.Now, readErr
	case now != setting.Want:
		return now, fmt.Errorf("%s: wrote %s, reads back %s", setting.Knob, setting.Want, now)
	}
	return now, nil
}

// patiently tries again for a while: a removed cgroup counts in the kernel's sum of budgets until its last reference is
// gone, an RCU grace period after rmdir (seen on Linux 6.18, 10-30 ms). Until then the budget above it cannot be
// lowered, nor one beside it raised.
func patiently(write func() error) error {
	deadline := time.Now().Add(time.Second)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := write()
		busy := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY)
		if !busy || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// Drain takes the real-time budget from a container whose processes have ended, before the delegate removes its
// cgroup: afterwards the kernel would count it for a while yet, and patiently would have to wait.
func Drain(root host.Root, grant shield.Grant) {
	if chain := grant.Cgroups.Budgets; len(chain) > 0 && !Live(root, grant) {
		_ = rt.SetRuntime(root, chain[len(chain)-1], 0) // if it cannot be, the release waits
	}
}
