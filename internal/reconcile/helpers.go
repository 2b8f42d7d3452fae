package reconcile

import (
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// helperThreads are the threads of the engine's processes that wait for containers, by process: containerd-shim, conmon. They
// leave the CPUs of these also where their cgroup keeps them, for the sake of an exempt task in it.
func helperThreads(root host.Root, ledger *shield.Ledger) (map[int][]int, error) {
	helpers := map[int][]int{}
	for _, grant := range ledger.Grants {
		helper := grant.Helper
		if _, known := helpers[helper.PID]; known || helper.PID <= 1 || !root.Alive(helper.PID, helper.Start) {
			continue
		}
		tids, err := task.Threads(root, helper.PID)
		if err != nil && !gone(err) {
			return nil, err
		}
		helpers[helper.PID] = tids
	}
	return helpers, nil
}

// leaves says whether every class whose containers a process waits for leaves it where it is.
func leaves(ledger *shield.Ledger, pid int) bool {
	for _, grant := range ledger.Grants {
		if grant.Helper.PID == pid && !grant.LeaveHelper {
			return false
		}
	}
	return true
}

// observeHelper looks at the threads of one such process, in whatever cgroup it is. Mostly there is nothing to read.
func (t threads) observeHelper(ledger *shield.Ledger, pid int, mount string, online cpuset.CPUSet) error {
	reaches := func(tid int) bool {
		mask, err := task.AffinityMask(tid)
		return err == nil && (task.Intersect(mask, t.held) || slices.Contains(t.given, mask)) || t.moved[tid]
	}
	if !slices.ContainsFunc(t.helpers[pid], reaches) {
		return nil
	}
	place, found, err := t.root.Cgroup(pid)
	if gone(err) || err == nil && !found {
		return nil
	}
	if err != nil {
		return err
	}
	allowed, err := allowedIn(t.root, place.Dir, mount, online)
	if gone(err) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, tid := range t.helpers[pid] {
		if err == nil {
			err = t.look(tid, shield.ThreadState{Allowed: allowed, Loose: true, Left: leaves(ledger, pid)})
		}
	}
	return err
}
