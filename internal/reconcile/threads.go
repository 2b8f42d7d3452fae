package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// moveThreads moves threads until no one is left: others are born of them meanwhile. It looks once where none was: a thread has
// its number a moment before its cgroup lists it, and the first list is read longer than that after born. To another cgroup a
// thread may have gone, which gives it what its new cpuset has, but at level affinity.
func moveThreads(root host.Root, session *shield.Session, online cpuset.CPUSet, report *Report) error {
	born := root.LastBorn() // not before: writing the mask of workqueues starts kernel threads
	done := map[int]bool{}  // by id: looked at in an earlier round
	once := born != "" && !session.AnyLevel(shield.LevelAffinity)
	for round := range 4 {
		seen := emptyObservation()
		seen.Online = online
		if err := observeThreads(root, session.Ledger, seen, done); err != nil {
			return err
		}
		if round == 0 {
			forgetThreads(root, session.Ledger, seen)
		}
		settings := shield.Plan(session.Ledger, seen)
		if record(root, session.Ledger, settings) {
			if err := session.Save(); err != nil {
				return err
			}
		}
		before := len(report.Changed)
		apply(root, session, settings, report)
		if len(report.Changed) == before || once && root.LastBorn() == born {
			break
		}
	}
	if len(session.Grants) == 0 && len(session.Noted(shield.Thread)) == 0 {
		session.Since, session.Given = 0, nil
	}
	return nil
}

// forgetThreads drops the baselines of threads that have ended. One that runs and was not seen is in a container by now, or
// could not be looked at.
func forgetThreads(root host.Root, ledger *shield.Ledger, seen shield.Observation) {
	for _, knob := range ledger.Noted(shield.Thread) {
		if _, exists := seen.Threads[knob]; exists {
			continue
		}
		tid, _ := strconv.Atoi(threadID(knob))
		stat, err := task.Read(root, tid)
		if gone(err) || err == nil && (stat.Ended || threadKnob(tid, stat) != knob) {
			delete(ledger.Baselines, knob.String())
		}
	}
}

// remember keeps what threads were given, for those that they will have started meanwhile. It says whether that is new.
func remember(ledger *shield.Ledger, setting shield.Setting) (news bool) {
	if setting.Kernel {
		return false
	}
	if ledger.Since == 0 {
		ledger.Since = firstStart(ledger)
	}
	if ledger.Given == nil {
		ledger.Given = map[string]string{}
	}
	had := setting.Had()
	if other, known := ledger.Given[setting.Want]; known { // to one that had others: a child may be of either
		had = union(had, other)
	}
	if setting.Clipped || setting.Want == had || ledger.Given[setting.Want] == had {
		return false
	}
	ledger.Given[setting.Want] = had
	return true
}

func union(a, b string) string {
	one, errOne := cpuset.Parse(a)
	two, errTwo := cpuset.Parse(b)
	if errOne != nil || errTwo != nil {
		return a
	}
	return one.Union(two).String()
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

// observeThreads reads the affinity of the threads that no cpuset holds: in the root, and in directories above a grant; at
// level affinity, all. Once some were moved, it looks at those in all other cgroups too, which may be their children. done,
// if not nil, has those of an earlier round, and exempt threads are left out of what is seen.
func observeThreads(root host.Root, ledger *shield.Ledger, seen shield.Observation, done map[int]bool) error {
	if len(ledger.Grants) == 0 && ledger.Since == 0 && len(ledger.Noted(shield.Thread)) == 0 {
		return nil
	}
	place, found, err := root.Cgroup(os.Getpid())
	if err != nil || !found {
		return err
	}
	helpers, err := helperThreads(root, ledger)
	if err != nil {
		return err
	}
	all := ledger.AnyLevel(shield.LevelAffinity)
	t := threads{
		root: root, seen: seen, done: done, own: ownThreads(), exempt: newExemption(root, ledger),
		held: task.MaskOf(ledger.Held()), given: givenMasks(ledger), moved: movedThreads(ledger), helpers: helpers, ofHelper: map[int]bool{},
	}
	for pid, tids := range helpers {
		for _, tid := range tids {
			t.ofHelper[tid] = true
		}
		if err := t.observeHelper(ledger, pid, place.Mount, seen.Online); err != nil {
			return err
		}
	}
	return walkCgroups(root, place.Mount, func(dir string) error {
		loose := all || dir == place.Mount || aboveGrant(ledger, dir)
		if isGrant(ledger, dir) || !loose && ledger.Since == 0 && len(t.moved) == 0 {
			return filepath.SkipDir
		}
		tids, err := task.In(root, dir)
		if err != nil {
			if gone(err) || errors.Is(err, unix.EOPNOTSUPP) { // a threaded subtree's inner directory
				return nil
			}
			return err
		}
		allowed, err := allowedIn(root, dir, place.Mount, seen.Online)
		if gone(err) {
			return nil
		}
		for _, tid := range tids {
			if err == nil && !t.ofHelper[tid] {
				err = t.look(tid, shield.ThreadState{Allowed: allowed, Loose: loose})
			}
		}
		return err
	})
}

// threads is what observeThreads knows while it goes from cgroup to cgroup.
type threads struct {
	root   host.Root
	seen   shield.Observation
	done   map[int]bool
	own    map[int]bool
	exempt exemption
	held   task.Mask
	given  []task.Mask
	moved  map[int]bool
	// helpers are those of helperThreads; ofHelper says of a thread whether it is one of them.
	helpers  map[int][]int
	ofHelper map[int]bool
}

// look looks at most threads with one system call; only those that may have to change are read further.
func (t threads) look(tid int, state shield.ThreadState) error {
	if t.done[tid] {
		return nil
	}
	mask, err := task.AffinityMask(tid)
	if gone(err) {
		return nil // it has ended
	}
	if err != nil {
		return fmt.Errorf("affinity of thread %d: %w", tid, err)
	}
	moved := t.moved[tid] || slices.Contains(t.given, mask) // or a child of one that was
	if !moved && (t.own[tid] || !(state.Loose && task.Intersect(mask, t.held))) {
		return nil // ourselves: we are gone before anybody could mind; what we inherited, the delegate would hand on to its container
	}
	if t.done != nil {
		t.done[tid] = true
		if !moved && t.exempt.inherited(tid) {
			return nil
		}
	}
	stat, err := task.Read(t.root, tid)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	state.CPUs, state.Start, state.Name, state.Kernel = task.SetOf(mask), stat.Start, stat.Comm, stat.Kernel
	switch {
	case stat.Bound:
		state.Fixed = bound
	case stat.OfInterrupt():
		state.Fixed = follows
	case !t.moved[tid] && t.exempt.holds(tid, stat):
		state.Exempt = true
	}
	t.seen.Threads[threadKnob(tid, stat)] = state
	return nil
}

// allowedIn gives the CPUs that threads in a directory may be given.
func allowedIn(root host.Root, dir, mount string, online cpuset.CPUSet) (cpuset.CPUSet, error) {
	nearest, err := hostcpuset.Nearest(root, dir, mount)
	if errors.Is(err, fs.ErrNotExist) { // no cpuset up to the root
		return online, nil
	}
	if err != nil {
		return online, err
	}
	return hostcpuset.Effective(root, nearest)
}

func makesPartition(setting shield.Setting) bool {
	return setting.Kind == shield.Partition && setting.Want != shield.Member && setting.Differs()
}

// rememberKernel notes the affinity of the kernel's threads. Making and removing a partition changes some for good: 6.12
// gives kswapd and others all CPUs, 7.2 leaves kdamond and others without those of the partition.
func rememberKernel(root host.Root, ledger *shield.Ledger) error {
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	tids, err := task.In(root, place.Mount)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		stat, err := task.Read(root, tid)
		if gone(err) || err == nil && (!stat.Kernel || stat.Bound || stat.OfInterrupt()) {
			continue
		}
		cpus, errAffinity := task.Affinity(tid)
		if gone(errAffinity) {
			continue // it has ended
		}
		if err = errors.Join(err, errAffinity); err != nil {
			return fmt.Errorf("kernel thread %d: %w", tid, err)
		}
		noteThread(ledger, tid, stat, cpus)
	}
	return nil
}

func noteThread(ledger *shield.Ledger, tid int, stat task.Stat, cpus cpuset.CPUSet) {
	knob := threadKnob(tid, stat)
	if _, known := ledger.Baselines[knob.String()]; !known {
		ledger.Note(knob, cpus.String())
	}
}

// rememberOwn notes the affinities that writing a cpuset loses. Before Linux 6.2 it resets that of every thread in it;
// since then the kernel keeps what a thread was given by sched_setaffinity, but not what it was born with, as under isolcpus=.
// A partition right below the root takes CPUs from the cpusets of all others before 6.7.
func rememberOwn(root host.Root, ledger *shield.Ledger, settings []shield.Setting, online cpuset.CPUSet) error {
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	var written []string
	hidden := ledger.Held()
	for _, setting := range settings {
		switch {
		case !setting.Differs() || setting.Fixed != "":
		case setting.Kind == shield.Cpuset:
			written = append(written, setting.Name)
		case setting.Kind == shield.Partition:
			if _, err := hostcpuset.Exclusive(root, setting.Name); gone(err) {
				written = append(written, place.Mount)
			}
			if cpus, err := hostcpuset.CPUs(root, setting.Name); err == nil && setting.Want == shield.Member {
				hidden = hidden.Union(cpus)
			}
		}
	}
	if len(written) == 0 {
		return nil
	}
	own, given := ownThreads(), givenMasks(ledger)
	return walkCgroups(root, place.Mount, func(dir string) error {
		if isGrant(ledger, dir) {
			return filepath.SkipDir
		}
		if !slices.ContainsFunc(written, func(above string) bool { return dir == above || strings.HasPrefix(dir, above+"/") }) {
			return nil
		}
		tids, err := task.In(root, dir)
		if gone(err) || errors.Is(err, unix.EOPNOTSUPP) { // the inner directory of a threaded subtree
			return nil
		}
		allowed, errAllowed := allowedIn(root, dir, place.Mount, online)
		if gone(errAllowed) {
			return nil
		}
		if err = errors.Join(err, errAllowed); err != nil {
			return err
		}
		// While a partition lasts, the root's threads lack its CPUs, and with its end the kernel gives them all back.
		whole, outside := task.MaskOf(allowed), task.MaskOf(allowed.Difference(hidden))
		for _, tid := range tids {
			mask, err := task.AffinityMask(tid)
			if gone(err) || err == nil && (mask == whole || mask == outside || own[tid]) {
				continue
			}
			if err != nil {
				return fmt.Errorf("affinity of thread %d: %w", tid, err)
			}
			stat, err := task.Read(root, tid)
			if gone(err) {
				continue
			}
			if err != nil {
				return err
			}
			// One that was born since may have inherited what others were given.
			inherited := ledger.Since > 0 && stat.Start >= ledger.Since && slices.Contains(given, mask)
			if !inherited && !stat.Bound && !stat.OfInterrupt() {
				noteThread(ledger, tid, stat, task.SetOf(mask))
			}
		}
		return nil
	})
}

// Disinherit gives the threads of an ordinary container's cgroup what those had that theirs comes from: crun, and runc before
// 1.2.7, hand on what an engine has left. For before a smaller cpuset cuts it, after which nobody could tell where it came from.
func Disinherit(root host.Root, ledger *shield.Ledger, dir string) error {
	if len(ledger.Given) == 0 {
		return nil
	}
	return walkCgroups(root, dir, func(dir string) error {
		if isGrant(ledger, dir) {
			return filepath.SkipDir
		}
		if aboveGrant(ledger, dir) { // no cpuset would keep it off the grant's CPUs
			return nil
		}
		tids, err := task.In(root, dir)
		if gone(err) || errors.Is(err, unix.EOPNOTSUPP) { // the inner directory of a threaded subtree
			return nil
		}
		for _, tid := range tids {
			now, errNow := task.Affinity(tid)
			had, given := ledger.Had(now)
			if gone(errNow) || errNow == nil && !given {
				continue
			}
			stat, errStat := task.Read(root, tid)
			if gone(errStat) || errStat == nil && stat.Start < ledger.Since {
				continue
			}
			problem := errors.Join(errNow, errStat)
			if problem == nil {
				problem = Widen(tid, had)
			}
			err = errors.Join(err, problem)
		}
		return err
	})
}

// Widen gives a thread CPUs of which its cpuset may keep it off some, or all: then it stays as it is.
func Widen(tid int, cpus cpuset.CPUSet) error {
	if err := task.SetAffinity(tid, cpus); err != nil && !gone(err) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// givenMasks are the affinities that threads were given, and that their children may have since.
func givenMasks(ledger *shield.Ledger) []task.Mask {
	masks := make([]task.Mask, 0, len(ledger.Given))
	for list := range ledger.Given {
		if cpus, err := cpuset.Parse(list); err == nil {
			masks = append(masks, task.MaskOf(cpus))
		}
	}
	return masks
}

// movedThreads are those with a baseline, by id.
func movedThreads(ledger *shield.Ledger) map[int]bool {
	moved := map[int]bool{}
	for _, knob := range ledger.Noted(shield.Thread) {
		if tid, err := strconv.Atoi(threadID(knob)); err == nil {
			moved[tid] = true
		}
	}
	return moved
}

func ownThreads() map[int]bool {
	own := map[int]bool{}
	tids, _ := task.Threads(host.System, os.Getpid())
	for _, tid := range tids {
		own[tid] = true
	}
	return own
}
