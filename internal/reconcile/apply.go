package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/irqbalance"
	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// Report says what one reconcile did.
type Report struct {
	// Dropped are the containers whose owner had died without a release.
	Dropped []string
	// Changed are the settings that were written and read back.
	Changed []Change
	// Refused are those that the kernel did not take, with its reason.
	Refused []Refusal

	// before is what the kernel had refused the last time.
	before map[string]string
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
	tried := session.Grant(TrialKey) != nil
	report := Report{Dropped: sweep(root, session.Ledger)}
	if tried && session.Grant(TrialKey) == nil { // killed on the way
		defer CleanTrial(root)
	}
	adoptLeftover(root, session.Ledger)
	if err := makeIdle(root, session.Ledger); err != nil {
		return report, err
	}
	seen, err := observe(root, session.Ledger)
	if err != nil {
		return report, err
	}
	forgetGone(session.Ledger, seen)
	session.NoteIRQs(seen)
	settings := shield.Plan(session.Ledger, seen)
	// Only before the first partition: the kernel itself takes the CPUs of one from all threads.
	if slices.ContainsFunc(settings, makesPartition) && len(session.Noted(shield.Partition)) == 0 {
		if err := rememberKernel(root, session.Ledger); err != nil {
			return report, err
		}
	}
	if err := rememberOwn(root, session.Ledger, settings, seen.Online); err != nil {
		return report, err
	}
	record(root, session.Ledger, settings)
	if err := session.Save(); err != nil {
		return report, err
	}
	session.Unmovable, report.before = nil, session.Unmovable
	apply(root, session, settings, &report)
	// Threads come last: shrinking and widening cpusets moves them too.
	if err := moveThreads(root, session, seen.Online, &report); err != nil {
		return report, err
	}
	if err := errors.Join(keepOwn(root, session.Ledger, &report), placeThreads(root, session.Ledger, &report)); err != nil {
		return report, err
	}
	count(root, session.Ledger)
	return report, errors.Join(removeDirs(root, session.Ledger), session.Save())
}

func apply(root host.Root, session *shield.Session, settings []shield.Setting, report *Report) {
	deadline := time.Now().Add(patience)
	for _, setting := range settings {
		if setting.Follows && !setting.Differs() {
			continue
		}
		if setting.Kind == shield.MinFreq || setting.Kind == shield.Preference { // the governor was written since it was read
			if now, err := read(root, setting.Knob); err == nil {
				setting.Now = now
			}
		}
		if setting.Differs() || setting.Written {
			was := setting.Now
			now, err := write(root, setting, deadline)
			if err != nil && gone(err) {
				delete(session.Baselines, setting.Knob.String())
				continue
			}
			// We cannot have changed it; the number may be that of a movable interrupt that is gone. Not at the first refusal: a
			// device that cannot take a write just now says the same (EIO).
			_, again := report.before[setting.Knob.String()]
			if errors.Is(err, irq.ErrManaged) && again || setting.Fixed == irq.ErrManaged.Error() {
				delete(session.Baselines, setting.Knob.String())
			}
			// A kernel thread that was seen before the kernel bound it: what it had then is of no use to it.
			if setting.Kind == shield.Thread && (setting.Fixed != "" || errors.Is(err, task.ErrBound)) {
				delete(session.Baselines, setting.Knob.String())
			}
			setting.Now = now
			if err != nil {
				report.Refused = append(report.Refused, Refusal{setting, err})
				if setting.Fixed == "" { // what is known without trying is found again
					refuse(session.Ledger, setting.Knob, err)
				}
			} else if was != now {
				report.Changed = append(report.Changed, Change{setting, was})
			}
		}
		// Nothing of ours in it, also where the kernel refused: nothing to restore.
		if setting.Now == setting.Baseline && !setting.Follows && !unfinished(root, session.Ledger, setting) {
			delete(session.Baselines, setting.Knob.String())
		}
	}
}

// unfinished says whether a baseline has to be kept though the setting is back at it.
func unfinished(root host.Root, ledger *shield.Ledger, setting shield.Setting) bool {
	switch setting.Kind {
	case shield.Thread: // what rememberKernel noted is for when the last partition goes
		return ledger.AnyLevel(shield.LevelPartition)
	case shield.Irqbalance:
		return !settled(root, setting) || irqbalance.Sweep(root, setting.Name) != nil
	case shield.AllowedCPUs:
		return setting.Fixed != "" || !restoreDropIn(root, ledger, setting.Name)
	}
	return false
}

// settled says whether an irqbalance shows what it was told, which it does from its next scan on. Until then its baseline
// stays, or the next container would take what it still shows for its own.
func settled(root host.Root, setting shield.Setting) bool {
	now, err := read(root, setting.Knob)
	return gone(err) || err == nil && now == setting.Want
}

// noteDropIn remembers a file that was there before ours.
func noteDropIn(root host.Root, ledger *shield.Ledger, unit string) {
	if text, found := systemd.DropIn(root, unit); found {
		ledger.Note(shield.Knob{Kind: shield.DropIn, Name: unit}, text)
	}
}

// restoreDropIn leaves the file as it was before ours: without a note there was none. With one, systemd has just written it
// anew, with the same value.
func restoreDropIn(root host.Root, ledger *shield.Ledger, unit string) bool {
	knob := shield.Knob{Kind: shield.DropIn, Name: unit}.String()
	_, noted := ledger.Baselines[knob]
	if err := systemd.RemoveDropIn(root, unit, noted); err != nil {
		return false
	}
	delete(ledger.Baselines, knob)
	return true
}

// IdleDir is the cgroup v2 directory, right below the mount, whose partition keeps idle siblings from all tasks.
const IdleDir = "rtshield-idle"

// makeIdle makes it for the grants that need it. A grant that goes to a sibling of its CPU needs none for a moment, and then
// it is gone.
func makeIdle(root host.Root, ledger *shield.Ledger) error {
	for i := range ledger.Grants {
		grant := &ledger.Grants[i]
		if !idles(grant) {
			continue
		}
		place, _, err := root.Controller(os.Getpid(), "cpuset")
		if err != nil {
			return err
		}
		grant.Cgroups.Idle = filepath.Join(place.Mount, IdleDir)
		if err := os.Mkdir(root.Path(grant.Cgroups.Idle), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cgroup for idle siblings: %w", err)
		}
	}
	return nil
}

// idles says whether a grant, where it is or goes, has siblings for that partition.
func idles(grant *shield.Grant) bool {
	return len(grant.Cgroups.Partition) > 0 && (!grant.Idle.IsEmpty() || grant.Move != nil && !grant.Move.Idle.IsEmpty())
}

// removeDirs takes away what we made in the cgroup v2 tree: the directory of idle siblings when none is idle any more, and what
// a killed process left. It looks by itself: one killed before it had saved its ledger left a directory that stands nowhere.
func removeDirs(root host.Root, ledger *shield.Ledger) error {
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found || !place.Unified {
		return err
	}
	hostcpuset.CleanProbes(root, place.Mount)
	for i := range ledger.Grants {
		if idles(&ledger.Grants[i]) {
			return nil
		}
	}
	_ = os.Remove(root.Path(place.Mount, IdleDir)) // somebody's tasks in it keep it, as an ordinary cgroup
	return nil
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
			exists = true // moveThreads looks
		case shield.WakeLatency, shield.FairServer, shield.Governor, shield.MinFreq, shield.Preference:
			state, found := seen.Values[knob]
			exists = found && !state.Gone
		case shield.HugePagePool:
			_, exists = seen.HugePages[knob]
		case shield.L3Ways:
			exists = seen.Ways != nil
		case shield.DropIn:
			_, exists = ledger.Baselines[shield.Knob{Kind: shield.AllowedCPUs, Name: knob.Name}.String()]
		default:
			_, exists = seen.Masks[knob]
		}
		if !exists {
			delete(ledger.Baselines, name)
		}
	}
}

// record notes the baselines of what will be written for the first time, and says whether there were any.
func record(root host.Root, ledger *shield.Ledger, settings []shield.Setting) (any bool) {
	for _, setting := range settings {
		// A baseline that differs from now is one that the thread or cpuset got from its parent.
		ours := setting.Differs() || setting.Baseline != setting.Now || setting.Follows
		// Also of one that is noted: with each grant that comes or goes threads are given others.
		if setting.Kind == shield.Thread && ours && setting.Fixed == "" && remember(ledger, setting) {
			any = true
		}
		if _, known := ledger.Baselines[setting.Knob.String()]; known || !ours || setting.Fixed != "" {
			continue
		}
		ledger.Note(setting.Knob, setting.Had())
		if setting.Kind == shield.AllowedCPUs {
			noteDropIn(root, ledger, setting.Name)
		}
		any = true
	}
	return any
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

// unknown is what a knob reads that was written and cannot be read back.
const unknown = "?"

// write sets one knob and gives what the kernel says afterwards: a write is not done until it was read back.
func write(root host.Root, setting shield.Setting, deadline time.Time) (now string, err error) {
	if setting.Fixed != "" {
		return setting.Now, errors.New(setting.Fixed)
	}
	var readErr error
	now, err = exchange(root, setting, deadline)
	if setting.Kind == shield.Cpuset && setting.Want == "" && errors.Is(err, unix.ENOSPC) {
		if err := giveAll(root, setting.Name); err != nil {
			return unknown, err
		}
		return setting.Want, nil
	}
	if now == "" {
		now, readErr = read(root, setting.Knob)
	}
	for look := 0; err == nil && readErr == nil && now != setting.Want && setting.Kind == shield.IRQ && look < 5; look++ {
		time.Sleep(settle)
		now, readErr = read(root, setting.Knob)
	}
	switch {
	case err != nil && readErr != nil && gone(err):
		return setting.Now, err
	case err != nil && readErr != nil:
		return unknown, err
	case err != nil:
		return now, err
	case readErr != nil && gone(readErr):
		return setting.Now, readErr
	case readErr != nil:
		return unknown, fmt.Errorf("written, and not read back: %w", readErr)
	case setting.Kind == shield.Irqbalance: // see settled
		return setting.Want, nil
	case now != setting.Want:
		return now, fmt.Errorf("%s: wrote %s, reads back %s", setting.Knob, setting.Want, now)
	}
	return now, nil
}

// giveAll stands for an empty cpuset.cpus: kernels before 7.x do not let a cgroup with processes go back to it (ENOSPC), so
// all CPUs that there can be are named. cgroup v2 lets one name more than its parent has; what that has now would not do: it
// may have to do without some for another grant.
func giveAll(root host.Root, dir string) error {
	cpus, err := root.Possible()
	if err != nil {
		return err
	}
	return hostcpuset.SetCPUs(root, dir, cpus)
}

// patience bounds all waiting of one reconcile for budgets.
const patience = time.Second

// settle is longer than an interrupt shows its former affinity while the kernel moves it.
const settle = time.Millisecond

// patiently tries again for a while: a removed cgroup counts in the kernel's sum of budgets until its last reference is
// gone, an RCU grace period after rmdir (seen on Linux 6.18, 10-30 ms). Until then the budget above it cannot be
// lowered, nor one beside it raised.
func patiently(deadline time.Time, write func() error) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := write()
		busy := errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBUSY)
		if !busy || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// invalid says whether the kernel calls a partition so: somebody has named its CPUs in a cgroup beside it.
func invalid(partition string) bool { return strings.Contains(partition, " invalid") }

// Heal repairs a container's partition that has become invalid, before the delegate removes its cgroup: Linux 6.12 would
// lose the CPUs with it.
func Heal(root host.Root, store shield.Store, grant shield.Grant) error {
	chain := grant.Cgroups.Partition
	if len(chain) == 0 {
		return nil
	}
	now, err := hostcpuset.PartitionType(root, chain[len(chain)-1])
	if err != nil || !invalid(now) {
		return nil //nolint:nilerr // without its cgroup there is nothing to repair
	}
	session, err := store.Open("repair of " + grant.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	_, err = Run(root, session)
	return err
}
