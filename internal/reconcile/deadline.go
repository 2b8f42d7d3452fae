package reconcile

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// A thread that ends under SCHED_DEADLINE keeps its bandwidth until its period is over (its zero-lag time). If a partition
// changes in between, Linux counts all domains anew without it, and takes it off one of them nevertheless: the sum falls
// below zero, and until partitions change again every CPU there is refused to hotplug, every smaller cpuset to its partition
// (EBUSY; seen on 6.12.107). So the CPUs of such a grant are let go a period after its threads.

// outlast waits until the kernel has the bandwidth of a grant's threads back, which have ended by now.
func outlast(grant shield.Grant) { time.Sleep(min(grant.Deadline.Period, patience)) }

// Retire makes the threads of a deadline grant ordinary, and waits for their bandwidth: for who is about to kill them and to
// remove their cgroup in one step, as a delegate does with delete --force.
func Retire(root host.Root, grant shield.Grant) error {
	if grant.Policy != shield.Deadline {
		return nil
	}
	tids, err := task.In(root, grant.Cgroups.Cpuset)
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	for _, tid := range tids {
		now, errGet := sched.Get(tid)
		if errGet == nil && now.Policy == unix.SCHED_DEADLINE {
			errGet = sched.Set(tid, sched.Attr{})
		}
		if !gone(errGet) {
			err = errors.Join(err, errGet)
		}
	}
	outlast(grant)
	return err
}
