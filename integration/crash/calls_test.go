package crash_test

import "golang.org/x/sys/unix"

// call says where a system call names its file.
type call struct {
	name string
	path int  // the argument that is a path, -1 for none
	fd   bool // the first argument is a descriptor
}

// calls are those that can change a file, a kernel setting or another process.
var calls = map[uint64]call{
	unix.SYS_WRITE:             {"write", -1, true},
	unix.SYS_PWRITE64:          {"pwrite64", -1, true},
	unix.SYS_WRITEV:            {"writev", -1, true},
	unix.SYS_FTRUNCATE:         {"ftruncate", -1, true},
	unix.SYS_FALLOCATE:         {"fallocate", -1, true},
	unix.SYS_FSYNC:             {"fsync", -1, true},
	unix.SYS_FDATASYNC:         {"fdatasync", -1, true},
	unix.SYS_FCHMOD:            {"fchmod", -1, true},
	unix.SYS_FCHOWN:            {"fchown", -1, true},
	unix.SYS_FLOCK:             {"flock", -1, true},
	unix.SYS_OPENAT:            {"openat", 1, false},
	unix.SYS_FCHMODAT:          {"fchmodat", 1, false},
	unix.SYS_FCHOWNAT:          {"fchownat", 1, false},
	unix.SYS_UTIMENSAT:         {"utimensat", 1, false},
	unix.SYS_MKDIRAT:           {"mkdirat", 1, false},
	unix.SYS_UNLINKAT:          {"unlinkat", 1, false},
	unix.SYS_SYMLINKAT:         {"symlinkat", 2, false},
	unix.SYS_LINKAT:            {"linkat", 3, false},
	unix.SYS_RENAMEAT:          {"renameat", 3, false},
	unix.SYS_RENAMEAT2:         {"renameat2", 3, false},
	unix.SYS_EXECVE:            {"execve", 0, false},
	unix.SYS_SCHED_SETATTR:     {"sched_setattr", -1, false},
	unix.SYS_SCHED_SETAFFINITY: {"sched_setaffinity", -1, false},
	unix.SYS_MOUNT:             {"mount", 1, false},
	unix.SYS_SENDMSG:           {"sendmsg", -1, false}, // irqbalance
}

// harmless calls change nothing outside of the process, or nothing that outlives it. A call that stands in neither list
// fails the test: somebody has to say which it is.
var harmless = numbersOf(
	unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2,
	unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_GETDENTS64, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_IOCTL, unix.SYS_UMASK,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_BRK, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_GETRANDOM, unix.SYS_UNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PPOLL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETPPID,
	unix.SYS_GETPGID, unix.SYS_PRCTL, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SIGNALFD4,
	unix.SYS_CAPGET, unix.SYS_SCHED_GETATTR, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SYSINFO, unix.SYS_PIDFD_OPEN,
	unix.SYS_PRLIMIT64, unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT, // rtshield tries limits on itself only
	unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_SOCKET, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_CONNECT, // whoever listens does nothing before sendmsg
	unix.SYS_TGKILL, unix.SYS_KILL, unix.SYS_PIDFD_SEND_SIGNAL, // its own threads, and signals passed on to the delegate
)

func numbersOf(list ...uint64) map[uint64]bool {
	set := map[uint64]bool{}
	for _, number := range list {
		set[number] = true
	}
	return set
}
