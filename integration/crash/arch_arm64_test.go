package crash_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Register sets of linux/elf.h: the number of the call has one of its own.
const (
	ntPRStatus   = 1
	ntSystemCall = 0x404
)

// skip makes the kernel pass over the call that a thread stands before.
func skip(tid int) error {
	none := int32(-1)
	set := unix.Iovec{Base: (*byte)(unsafe.Pointer(&none))}
	set.SetLen(int(unsafe.Sizeof(none)))
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(tid), ntSystemCall, uintptr(unsafe.Pointer(&set)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// answer sets what the call that a thread has just made returns.
func answer(tid int, errno unix.Errno) error {
	return changeRegs(tid, func(regs *unix.PtraceRegsArm64) { regs.Regs[0] = -uint64(errno) })
}

// halve gives the call that a thread stands before half of its third argument.
func halve(tid int) error {
	return changeRegs(tid, func(regs *unix.PtraceRegsArm64) { regs.Regs[2] /= 2 })
}

func changeRegs(tid int, change func(*unix.PtraceRegsArm64)) error {
	var regs unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, ntPRStatus, &regs); err != nil {
		return err
	}
	change(&regs)
	return unix.PtraceSetRegSetArm64(tid, ntPRStatus, &regs)
}
