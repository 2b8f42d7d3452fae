package verify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// read looks at a container. Its first process may have ended, while others of its cgroup run.
func read(root host.Root, grant shield.Grant, sparing bool) seen {
	pid := grant.Owner.PID
	now := seen{cpuset: promise.Cpuset(root, grant)}
	if reading, ok := promise.Nodes(root, grant); ok {
		now.nodes = &reading
	}
	now.threads, now.threadsErr = threadsOf(root, grant)
	if runtime, period, err := rt.Throttle(root); err == nil {
		now.throttle = shield.Budget{Runtime: runtime, Period: period}
		now.throttleBinds = grant.Budget.Period > 0 || !root.AtLeast(6, 12)
	}
	stat, err := task.Read(root, pid)
	switch {
	case host.Gone(err), err == nil && (stat.Ended || stat.Start != grant.Owner.Start):
		return now
	case err != nil:
		now.firstErr = err
		return now
	}
	if attr, err := sched.Get(pid); err == nil {
		now.first = &attr
	} else if !host.Gone(err) {
		now.firstErr = err
	}
	now.ruled = promise.Ruled(root, pid, grant)
	now.places = promise.Places(root, pid, grant)
	for _, part := range []struct {
		read func(host.Root, int, shield.Grant) (promise.Reading, bool)
		into **promise.Reading
	}{{promise.THP, &now.thp}, {promise.KSM, &now.ksm}, {promise.Swap, &now.swap}, {promise.Bound, &now.bound}} {
		if sparing && part.into == &now.bound {
			continue
		}
		if reading, ok := part.read(root, pid, grant); ok {
			*part.into = &reading
		}
	}
	if reading, throttled, ok := promise.Quota(root, pid, grant); ok {
		now.quota, now.throttled = &reading, throttled
	}
	now.ways = reconcile.CheckWays(root, grant, pid)
	ids, err := root.StatusField(pid, "NSpid")
	now.ownPIDs = err == nil && len(strings.Fields(ids)) > 1
	return now
}

// threadsOf reads all threads of a container's processes, also of its first one where that was moved to another cgroup.
func threadsOf(root host.Root, grant shield.Grant) ([]thread, error) {
	pids := root.CgroupProcesses(grant.Cgroups.Cpuset)
	if !slices.Contains(pids, grant.Owner.PID) && root.Alive(grant.Owner.PID, grant.Owner.Start) {
		pids = append(pids, grant.Owner.PID)
	}
	var threads []thread
	for _, pid := range pids {
		tids, err := task.Threads(root, pid)
		if host.Gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, _ := root.StatusField(pid, "PPid")
		parent, _ := strconv.Atoi(text)
		for _, tid := range tids {
			one, err := readThread(root, tid)
			if host.Gone(err) {
				continue // it has ended
			}
			if err != nil {
				return nil, fmt.Errorf("thread %d: %w", tid, err)
			}
			if one.pid, one.parent = pid, parent; one.name != "" {
				threads = append(threads, one)
			}
		}
	}
	return threads, nil
}

// readThread gives a thread without a name if it has ended and nobody has asked for its status.
func readThread(root host.Root, tid int) (thread, error) {
	cpus, errCPUs := task.Affinity(tid)
	attr, errAttr := sched.Get(tid)
	stat, errStat := task.Read(root, tid)
	if stat.Ended {
		return thread{}, nil
	}
	return thread{tid: tid, name: stat.Comm, cpus: cpus, attr: attr}, errors.Join(errCPUs, errAttr, errStat)
}
