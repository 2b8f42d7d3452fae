// Package sched reads and sets the scheduling policy of threads.
package sched

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Attr is a thread's policy. Which fields count depends on it.
type Attr struct {
	// Policy is unix.SCHED_FIFO and so on.
	Policy uint32
	// Priority is 1-99 for SCHED_FIFO and SCHED_RR, else 0.
	Priority uint32
	// Nice is -20 to 19 for SCHED_OTHER and SCHED_BATCH.
	Nice int32
	// ResetOnFork gives children SCHED_OTHER. SCHED_DEADLINE threads cannot fork without it (EAGAIN).
	ResetOnFork bool
	// The bandwidth of SCHED_DEADLINE.
	Runtime, Deadline, Period time.Duration
}

// RealTime says whether the thread runs before all ordinary ones.
func (a Attr) RealTime() bool {
	return a.Policy == unix.SCHED_FIFO || a.Policy == unix.SCHED_RR || a.Policy == unix.SCHED_DEADLINE
}

// Get reads the policy of thread tid; 0 is the caller.
func Get(tid int) (Attr, error) {
	attr, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return Attr{}, fmt.Errorf("sched_getattr: %w", err)
	}
	result := Attr{
		Policy: attr.Policy, Priority: attr.Priority, Nice: attr.Nice, ResetOnFork: attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0,
	}
	if attr.Policy == unix.SCHED_DEADLINE { // of a fair task, Linux 6.12 gives its slice in Runtime
		result.Runtime, result.Deadline, result.Period = time.Duration(attr.Runtime), time.Duration(attr.Deadline), time.Duration(attr.Period)
	}
	return result, nil
}

// Set gives thread tid a policy.
//
// EPERM for FIFO and RR means that the thread's cgroup has no real-time budget (RT_GROUP_SCHED); for DEADLINE, that its
// affinity does not span a whole root domain. EBUSY means that DEADLINE's admission test has no bandwidth left. All
// three also come for want of CAP_SYS_NICE in the first user namespace.
func Set(tid int, attr Attr) error {
	kernel := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: attr.Policy, Priority: attr.Priority, Nice: attr.Nice,
		Runtime: uint64(attr.Runtime), Deadline: uint64(attr.Deadline), Period: uint64(attr.Period),
	}
	if attr.ResetOnFork {
		kernel.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	}
	if err := unix.SchedSetAttr(tid, &kernel, 0); err != nil {
		return fmt.Errorf("sched_setattr: %w", err)
	}
	return nil
}
