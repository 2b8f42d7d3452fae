package main

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const period = time.Millisecond

// meter holds all memory that measuring needs, touched beforehand: a page fault
// between two wake-ups would count as the scheduler's.
type meter struct {
	late    []int64 // ns
	skipped int
	length  time.Duration
}

func newMeter(length time.Duration) *meter {
	m := &meter{late: make([]int64, int(length/period)+1), length: length}
	for i := range m.late {
		m.late[i] = -1 // a page that was only read is still the shared zero page
	}
	m.late = m.late[:0]
	return m
}

// measure wakes up at each multiple of period until length has passed. A wake-up
// so late that the next ones are over, too, is one sample: counting them all would
// show one stall many times. cyclictest does the same.
func (m *meter) measure() error {
	start, err := now()
	if err != nil {
		return err
	}
	end := start + int64(m.length)
	for next := start + int64(period); next <= end && len(m.late) < cap(m.late); next += int64(period) {
		if err := sleepUntil(next); err != nil {
			return err
		}
		woke, err := now()
		if err != nil {
			return err
		}
		m.late = append(m.late, woke-next)
		for ; next+int64(period) <= min(woke, end); next += int64(period) {
			m.skipped++
		}
	}
	return nil
}

// Raw system calls: the ordinary ones tell Go's scheduler, which may then hand this
// thread's place to another and let it wait when it comes back.

func now() (int64, error) {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, fmt.Errorf("clock_gettime: %w", errno)
	}
	return ts.Nano(), nil
}

func sleepUntil(ns int64) error {
	ts := unix.NsecToTimespec(ns)
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC,
			unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR: // the time is absolute: just go on
		default:
			return fmt.Errorf("clock_nanosleep: %w", errno)
		}
	}
}
