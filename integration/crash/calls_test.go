package crash_test

import (
	"strings"

	"golang.org/x/sys/unix"
)

// call says where a system call names its file, and how it can fail.
type call struct {
	name string
	path int  // the argument that is a path, -1 for none
	fd   bool // the first argument is a descriptor
	// changes: it can change a file, a kernel setting or another process, so that it matters whether it was made.
	changes bool
	// errnos are the ways to fail that fit. onKernel, if there are any, are those for files of /proc and /sys.
	errnos, onKernel []string
}

// The ways to fail. short is no errno: half of it is written.
const short = "short"

var (
	reading  = []string{"EIO", "EINTR"}
	writing  = []string{"ENOSPC", short, "EIO", "EINTR"}
	telling  = []string{"EPERM", "EIO", "EINTR"}
	naming   = []string{"ENOSPC", "EROFS", "EIO"}
	looking  = []string{"EIO", "EACCES"}
	opening  = []string{"EMFILE", "EACCES", "EINTR"}
	owning   = []string{"EPERM", "EROFS"}
	running  = []string{"ENOENT", "EACCES", "ENOMEM"}
	deciding = []string{"EPERM"}
	forking  = []string{"EAGAIN"}
	taking   = []string{"EMFILE"}
)

// calls are those with which a program meets what is outside of it.
var calls = map[uint64]call{
	unix.SYS_WRITE:             {"write", -1, true, true, writing, telling},
	unix.SYS_PWRITE64:          {"pwrite64", -1, true, true, writing, telling},
	unix.SYS_WRITEV:            {"writev", -1, true, true, []string{"ENOSPC", "EIO"}, telling},
	unix.SYS_FTRUNCATE:         {"ftruncate", -1, true, true, []string{"EIO", "EINTR"}, nil},
	unix.SYS_FALLOCATE:         {"fallocate", -1, true, true, []string{"ENOSPC"}, nil},
	unix.SYS_FSYNC:             {"fsync", -1, true, true, []string{"EIO", "ENOSPC"}, nil},
	unix.SYS_FDATASYNC:         {"fdatasync", -1, true, true, []string{"EIO", "ENOSPC"}, nil},
	unix.SYS_FCHMOD:            {"fchmod", -1, true, true, owning, nil},
	unix.SYS_FCHOWN:            {"fchown", -1, true, true, owning, nil},
	unix.SYS_FLOCK:             {"flock", -1, true, true, []string{"EINTR", "ENOLCK"}, nil},
	unix.SYS_OPENAT:            {"openat", 1, false, true, opening, opening[:2]}, // or not, see point
	unix.SYS_FCHMODAT:          {"fchmodat", 1, false, true, owning, nil},
	unix.SYS_FCHOWNAT:          {"fchownat", 1, false, true, owning, nil},
	unix.SYS_UTIMENSAT:         {"utimensat", 1, false, true, owning, nil},
	unix.SYS_MKDIRAT:           {"mkdirat", 1, false, true, naming, nil},
	unix.SYS_UNLINKAT:          {"unlinkat", 1, false, true, naming[1:], nil},
	unix.SYS_SYMLINKAT:         {"symlinkat", 2, false, true, naming, nil},
	unix.SYS_LINKAT:            {"linkat", 3, false, true, naming, nil},
	unix.SYS_RENAMEAT:          {"renameat", 3, false, true, append(naming, "ENOENT"), nil},
	unix.SYS_RENAMEAT2:         {"renameat2", 3, false, true, append(naming, "ENOENT"), nil},
	unix.SYS_EXECVE:            {"execve", 0, false, true, running, nil},
	unix.SYS_SCHED_SETATTR:     {"sched_setattr", -1, false, true, []string{"EPERM", "EBUSY"}, nil},
	unix.SYS_SCHED_SETAFFINITY: {"sched_setaffinity", -1, false, true, deciding, nil},
	unix.SYS_MOUNT:             {"mount", 1, false, true, deciding, nil},
	unix.SYS_SENDMSG:           {"sendmsg", -1, false, true, []string{"EPIPE"}, nil}, // irqbalance
	unix.SYS_SETXATTR:          {"setxattr", 0, false, true, deciding, nil},
	unix.SYS_REMOVEXATTR:       {"removexattr", 0, false, true, deciding, nil},

	unix.SYS_GETXATTR:          {"getxattr", 0, false, false, []string{"EIO"}, nil},
	unix.SYS_READ:              {"read", -1, true, false, reading, nil},
	unix.SYS_PREAD64:           {"pread64", -1, true, false, reading, nil},
	unix.SYS_LSEEK:             {"lseek", -1, true, false, []string{"EIO"}, nil},
	unix.SYS_FSTAT:             {"fstat", -1, true, false, []string{"EIO"}, nil},
	unix.SYS_GETDENTS64:        {"getdents64", -1, true, false, []string{"EIO"}, nil},
	unix.SYS_FSTATFS:           {"fstatfs", -1, true, false, []string{"EIO"}, nil},
	unix.SYS_NEWFSTATAT:        {"newfstatat", 1, false, false, looking, nil},
	unix.SYS_STATX:             {"statx", 1, false, false, looking, nil},
	unix.SYS_STATFS:            {"statfs", 0, false, false, looking, nil},
	unix.SYS_READLINKAT:        {"readlinkat", 1, false, false, looking, nil},
	unix.SYS_FACCESSAT:         {"faccessat", 1, false, false, looking, nil},
	unix.SYS_FACCESSAT2:        {"faccessat2", 1, false, false, looking, nil},
	unix.SYS_SCHED_GETATTR:     {"sched_getattr", -1, false, false, deciding, nil},
	unix.SYS_SCHED_GETAFFINITY: {"sched_getaffinity", -1, false, false, deciding, nil},
	unix.SYS_PIDFD_OPEN:        {"pidfd_open", -1, false, false, taking, nil},
	unix.SYS_PIPE2:             {"pipe2", -1, false, false, taking, nil},
	unix.SYS_MEMFD_CREATE:      {"memfd_create", 0, false, false, taking, nil},
	unix.SYS_DUP3:              {"dup3", -1, false, false, taking, nil},
	unix.SYS_SOCKET:            {"socket", -1, false, false, taking, nil},
	unix.SYS_CONNECT:           {"connect", -1, false, false, []string{"ECONNREFUSED"}, nil},
	unix.SYS_BIND:              {"bind", -1, false, false, deciding, nil}, // process events
	unix.SYS_SENDTO:            {"sendto", -1, false, false, []string{"ECONNREFUSED"}, nil},
	unix.SYS_RECVFROM:          {"recvfrom", -1, false, false, []string{"EINTR"}, nil},
	unix.SYS_CLONE:             {"clone", -1, false, false, forking, nil}, // of a process, see point
	unix.SYS_PRLIMIT64:         {"prlimit64", -1, false, false, deciding, nil},
	unix.SYS_WAITID:            {"waitid", -1, false, false, []string{"EINTR"}, nil},
	unix.SYS_WAIT4:             {"wait4", -1, false, false, []string{"EINTR"}, nil},
	unix.SYS_GETCWD:            {"getcwd", -1, false, false, []string{"ENOENT"}, nil},
}

// waysToFail of a call.
func (p point) waysToFail() []string {
	for _, call := range calls {
		if call.name == p.Call {
			if call.onKernel != nil && (strings.HasPrefix(p.Path, "/proc/") || strings.HasPrefix(p.Path, "/sys/")) {
				return call.onKernel
			}
			return call.errnos
		}
	}
	return nil
}

// harmless calls do not look outside of the process, or only serve Go's own scheduler, which ends a program that they
// fail. A call that stands in neither list fails the test: somebody has to say which it is.
var harmless = numbersOf(
	unix.SYS_CLOSE, unix.SYS_FCNTL, unix.SYS_DUP, unix.SYS_CHDIR, unix.SYS_IOCTL, unix.SYS_UMASK,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_BRK, unix.SYS_MINCORE,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_GETRANDOM, unix.SYS_UNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PPOLL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETPPID,
	unix.SYS_GETPGID, unix.SYS_PRCTL, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SIGNALFD4,
	unix.SYS_CAPGET, unix.SYS_SYSINFO, unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT,
	unix.SYS_SETPGID,                                    // of a child, before it is another program
	unix.SYS_CLONE3, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, // threads of Go's
	unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT,
	unix.SYS_TGKILL, unix.SYS_KILL, unix.SYS_PIDFD_SEND_SIGNAL, // its own threads, and signals passed on to the delegate
)

func numbersOf(list ...uint64) map[uint64]bool {
	set := map[uint64]bool{}
	for _, number := range list {
		set[number] = true
	}
	return set
}
