package crash_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// point is one system call that meets what is outside of the program.
type point struct {
	Call string `json:"call"`
	Path string `json:"path"`
	// Changes: it can change something there.
	Changes bool `json:"changes"`
}

func (p point) String() string { return p.Call + " " + p.Path }

// report is what the tracer leaves in a file: the calls up to the end or up to the kill.
type report struct {
	Points []point `json:"points"`
	// Hit: the call that was asked for has come.
	Hit bool `json:"hit"`
	// Others are the numbers of all other calls, to be compared with what is known to be harmless.
	Others map[uint64]bool `json:"others"`
	// Stderr is what the program said there.
	Stderr string `json:"stderr"`
}

// changing gives the points that can change something.
func (r report) changing() []point {
	var points []point
	for _, p := range r.Points {
		if p.Changes {
			points = append(points, p)
		}
	}
	return points
}

// blow says which call: the nth of a kind, counted over all threads. The zero blow never comes. Counted by kind, because
// how often a busy budget is tried again differs from run to run.
type blow struct {
	kind string
	nth  int
	// how is kill, to be killed before the call; an errno that it returns without being made; or short.
	how string
}

const kill = "kill"

func (b blow) String() string { return fmt.Sprintf("%s at %s no %d", b.how, b.kind, b.nth) }

var numbers = regexp.MustCompile(`[0-9]+`)

// kind is a point without what differs from run to run, and from one interrupt to the next.
func (p point) kind() string {
	if p.Path == "" {
		return p.Call
	}
	return p.Call + " " + numbers.ReplaceAllString(filepath.Base(filepath.Dir(p.Path))+"/"+filepath.Base(p.Path), "#")
}

// args are the words for a command line, which traceFace reads.
func (b blow) args() []string { return []string{strconv.Itoa(b.nth), b.how, b.kind} }

// traceFace is `trace NTH HOW KIND REPORT PROGRAM ARGS…`: run PROGRAM with a blow. From its execve of another program on
// it is left alone.
func traceFace(args []string) (int, error) {
	if len(args) < 5 {
		return 0, errors.New("usage: trace NTH HOW KIND REPORT PROGRAM ARGS")
	}
	nth, err := strconv.Atoi(args[0])
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // ptrace knows its tracer by thread
	t := tracer{blow: blow{how: args[1], kind: args[2], nth: nth}, report: report{Others: map[uint64]bool{}}, failing: map[int]unix.Errno{}}
	if t.errno = errnoOf(t.blow.how); t.errno == 0 && nth > 0 && t.blow.how != kill && t.blow.how != short {
		return 0, fmt.Errorf("no errno is called %q", t.blow.how)
	}
	code, err := t.run(args[4], args[4:])
	if err != nil {
		return 0, err
	}
	data, err := json.Marshal(t.report)
	if err != nil {
		return 0, err
	}
	return code, os.WriteFile(args[3], data, 0o600)
}

// errnoOf gives the number of an errno, 0 for none of that name.
func errnoOf(name string) unix.Errno {
	for errno := unix.Errno(1); errno < 134; errno++ {
		if unix.ErrnoName(errno) == name {
			return errno
		}
	}
	return 0
}

type tracer struct {
	pid    int
	blow   blow
	errno  unix.Errno
	seen   int // calls of the kind
	report report
	// failing are the threads whose call was passed over, with what it is to return.
	failing map[int]unix.Errno
}

func (t *tracer) run(path string, argv []string) (int, error) {
	// What it says is kept, and said again: of a hook, the delegate shows it only if the hook fails.
	said, err := os.CreateTemp("", "said-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(said.Name())
	defer func() {
		data, _ := os.ReadFile(said.Name())
		t.report.Stderr = string(data)
		_, _ = os.Stderr.Write(data)
	}()
	t.pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, said.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil || !status.Stopped() {
		return 0, fmt.Errorf("no stop at the first execve: %v, %v", status, err)
	}
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return 0, err
	}
	if err := unix.PtraceSyscall(t.pid, 0); err != nil {
		return 0, err
	}
	for {
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		switch {
		case tid == t.pid && status.Exited():
			return status.ExitStatus(), nil
		case tid == t.pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case status.Stopped():
			t.stopped(tid, status)
		}
	}
}

// stopped handles one stop of one thread and lets it go on. Errors mean that the thread is gone already.
func (t *tracer) stopped(tid int, status unix.WaitStatus) {
	deliver := 0
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP|0x80:
		if t.atCall(tid) {
			return
		}
	case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		_ = unix.PtraceDetach(tid)
		return
	case signal == unix.SIGTRAP && status.TrapCause() > 0, signal == unix.SIGSTOP: // a new thread, from both sides
	default:
		deliver = int(signal)
	}
	_ = unix.PtraceSyscall(tid, deliver)
}

// atCall is a stop before or after a call. It says whether the program is dead.
func (t *tracer) atCall(tid int) (dead bool) {
	if errno, failing := t.failing[tid]; failing {
		delete(t.failing, tid)
		t.problem(answer(tid, errno))
		return false
	}
	p, ok := t.meeting(tid)
	if !ok || t.report.Hit && t.blow.how == kill {
		return false
	}
	t.report.Points = append(t.report.Points, p)
	if p.kind() == t.blow.kind {
		t.seen++
	}
	if t.report.Hit || t.blow.nth == 0 || t.seen != t.blow.nth || p.kind() != t.blow.kind {
		return false
	}
	t.report.Hit = true
	switch t.blow.how {
	case kill:
		_ = unix.Kill(t.pid, unix.SIGKILL) // the call that it stands before does not happen any more
		return true
	case short:
		t.problem(halve(tid))
	default:
		t.failing[tid] = t.errno
		t.problem(skip(tid))
	}
	return false
}

// problem is for what must not happen: the tracer's own ptrace fails.
func (t *tracer) problem(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash test: tracer:", err)
		os.Exit(99)
	}
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h, as far as an entry goes.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64
	args   [6]uint64
}

const (
	ptraceGetSyscallInfo = 0x420e // Linux 5.3
	syscallEntry         = 1
)

// meeting says whether a thread stands before a call that meets what is outside of its process, and which.
func (t *tracer) meeting(tid int) (point, bool) {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(info),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != syscallEntry {
		return point{}, false
	}
	call, known := calls[info.nr]
	if !known {
		t.report.Others[info.nr] = true
		return point{}, false
	}
	p := point{Call: call.name, Changes: call.changes}
	if call.path >= 0 {
		p.Path = cString(tid, info.args[call.path])
	}
	switch {
	case call.fd:
		fd := int32(info.args[0])
		p.Path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, fd))
		// Not what wakes Go's poller, nor the output.
		if pipe := strings.HasPrefix(p.Path, "pipe:") && !call.changes; !pipe && !strings.HasPrefix(p.Path, "/") || fd == 1 || fd == 2 {
			return point{}, false
		}
	case call.name == "openat":
		p.Changes = info.args[2]&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC) != 0
	case call.name == "clone" && info.args[0]&unix.CLONE_THREAD != 0:
		return point{}, false
	}
	return p, true
}

func cString(tid int, address uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	buffer := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(buffer, int64(address))
	text, _, _ := bytes.Cut(buffer[:n], []byte{0})
	return string(text)
}
