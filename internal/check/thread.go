package check

import (
	"io"
	"os"
	"os/exec"
	"syscall"
)

// verb is the word that makes rtshield the thread of a trial. It is for rtshield alone.
const verb = "check-thread"

// Is says whether these arguments are the trial's.
func Is(args []string) bool { return len(args) == 1 && args[0] == verb }

// Main waits until the trial, or whoever was to carry it out, is over.
func Main() int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// thread is a process with nothing to do.
type thread struct {
	pid   int
	cmd   *exec.Cmd
	stdin io.Closer
}

func startThread() (*thread, error) {
	cmd := exec.Command("/proc/self/exe", verb)
	// Its end is ours: what it reads ends with us. Ctrl-C is for us alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &thread{cmd.Process.Pid, cmd, stdin}, nil
}

func (t *thread) end() {
	if t.stdin == nil {
		return
	}
	_ = t.stdin.Close()
	t.stdin = nil
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
}
