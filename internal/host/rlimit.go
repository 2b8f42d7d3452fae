package host

import "golang.org/x/sys/unix"

// AtMost gives value, or the hard limit of this process for the resource where that is lower.
func AtMost(resource int, value uint64) uint64 {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return value
	}
	return min(value, now.Max)
}

// Unlimited is RLIM_INFINITY.
const Unlimited = unix.RLIM_INFINITY

// CanRaise says whether this process, and so the runtime that it becomes, may give a child the hard limit value for a
// resource such as unix.RLIMIT_RTPRIO. It tries, on itself, and goes back: asking for CAP_SYS_RESOURCE would not see a
// security module that refuses.
func CanRaise(resource int, value uint64) bool {
	var before unix.Rlimit
	if err := unix.Getrlimit(resource, &before); err != nil {
		return false
	}
	if before.Max >= value {
		return true
	}
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: before.Cur, Max: value}); err != nil {
		return false
	}
	_ = unix.Setrlimit(resource, &before) // lowering is always allowed
	return true
}
