package crash_test

import "golang.org/x/sys/unix"

func init() {
	calls[unix.SYS_VFORK] = call{name: "vfork", path: -1, errnos: forking}
	harmless[unix.SYS_ARCH_PRCTL] = true // thread-local storage
}

// skip makes the kernel pass over the call that a thread stands before.
func skip(tid int) error {
	return changeRegs(tid, func(regs *unix.PtraceRegs) { regs.Orig_rax = ^uint64(0) })
}

// answer sets what the call that a thread has just made returns.
func answer(tid int, errno unix.Errno) error {
	return changeRegs(tid, func(regs *unix.PtraceRegs) { regs.Rax = -uint64(errno) })
}

// halve gives the call that a thread stands before half of its third argument.
func halve(tid int) error {
	return changeRegs(tid, func(regs *unix.PtraceRegs) { regs.Rdx /= 2 })
}

func changeRegs(tid int, change func(*unix.PtraceRegs)) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	change(&regs)
	return unix.PtraceSetRegs(tid, &regs)
}
