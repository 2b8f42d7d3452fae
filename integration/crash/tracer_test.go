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
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// point is one system call that can change something.
type point struct {
	Call string `json:"call"`
	Path string `json:"path"`
}

func (p point) String() string { return p.Call + " " + p.Path }

// report is what the tracer leaves in a file: the calls up to the end or up to the kill.
type report struct {
	Points []point `json:"points"`
	Killed bool    `json:"killed"`
	// Others are the numbers of all other calls, to be compared with what is known to change nothing.
	Others map[uint64]bool `json:"others"`
}

// kill says before which call: the nth of a kind, counted over all threads. The zero kill never comes. Counted by kind,
// because how often a busy budget is tried again differs from run to run.
type kill struct {
	kind string
	nth  int
}

var numbers = regexp.MustCompile(`[0-9]+`)

// kind is a point without what differs from run to run, and from one interrupt to the next.
func (p point) kind() string {
	return p.Call + " " + numbers.ReplaceAllString(filepath.Base(filepath.Dir(p.Path))+"/"+filepath.Base(p.Path), "#")
}

// args are the words for a command line, which traceFace reads.
func (k kill) args() []string { return []string{strconv.Itoa(k.nth), k.kind} }

// traceFace is `trace NTH KIND REPORT PROGRAM ARGS…`: run PROGRAM, and kill it before the call. From its execve of
// another program on it is left alone.
func traceFace(args []string) (int, error) {
	if len(args) < 4 {
		return 0, errors.New("usage: trace NTH KIND REPORT PROGRAM ARGS")
	}
	nth, err := strconv.Atoi(args[0])
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // ptrace knows its tracer by thread
	t := tracer{kill: kill{args[1], nth}, report: report{Others: map[uint64]bool{}}}
	code, err := t.run(args[3], args[3:])
	if err != nil {
		return 0, err
	}
	data, err := json.Marshal(t.report)
	if err != nil {
		return 0, err
	}
	return code, os.WriteFile(args[2], data, 0o600)
}

type tracer struct {
	pid    int
	kill   kill
	seen   int // calls of the kind
	report report
}

func (t *tracer) run(path string, argv []string) (int, error) {
	var err error
	t.pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil || !status.Stopped() {
		return 0, fmt.Errorf("no stop at the first execve: %v, %v", status, err)
	}
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
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
		if p, ok := t.changing(tid); ok && !t.report.Killed {
			t.report.Points = append(t.report.Points, p)
			if p.kind() == t.kill.kind {
				t.seen++
			}
			if t.kill.nth > 0 && t.seen == t.kill.nth {
				t.report.Killed = true
				_ = unix.Kill(t.pid, unix.SIGKILL) // the call that it stands before does not happen any more
				return
			}
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

// changing says whether a thread stands before a call that can change anything outside of its process, and which.
func (t *tracer) changing(tid int) (point, bool) {
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
	p := point{Call: call.name}
	if call.path >= 0 {
		p.Path = cString(tid, info.args[call.path])
	}
	if call.fd {
		p.Path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(info.args[0])))
		// Not what wakes Go's poller, nor the output.
		if len(p.Path) == 0 || p.Path[0] != '/' || int32(info.args[0]) <= 2 {
			return point{}, false
		}
	}
	if call.name == "openat" && info.args[2]&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC) == 0 {
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
