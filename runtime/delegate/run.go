package delegate

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run runs the delegate as a child and waits for it. Signals that reach us go on to the child. exitCode is the
// child's, 128+n if signal n ended it, and -1 with an error if it never ran.
//
// The child has our stdio and every descriptor that the engine left open for us, at the same numbers: those are
// not close-on-exec, all that Go opens is. os/exec would renumber them.
func Run(path string, argv, env []string) (exitCode int, err error) {
	signals := make(chan os.Signal, 128) // os/signal drops what does not fit
	signal.Notify(signals, forwarded()...)
	defer signal.Stop(signals)

	// The numbers 0 to 2 and not os.Stdin and so on, whose Fd method may change O_NONBLOCK on a description that
	// the engine holds, too.
	// No Pdeathsig: it fires when the *thread* that forked ends, and Go ends threads as it likes.
	pid, err := syscall.ForkExec(path, delegateArgv(path, argv), &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return -1, fmt.Errorf("start %s: %w", path, err)
	}

	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case sig := <-signals:
				forward(pid, sig.(syscall.Signal))
			case <-ended:
				return
			}
		}
	}()
	// Wait without reaping first, so that no signal can go to a pid that is somebody else's by now.
	err = ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
	close(ended)
	<-done
	if err != nil {
		return -1, fmt.Errorf("wait for %s: %w", path, err)
	}

	var status syscall.WaitStatus
	err = ignoringEINTR(func() error {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("wait for %s: %w", path, err)
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// forwarded are the signals to catch. Not caught:
//   - KILL and STOP, which cannot be; CHLD, which is about our own child; URG, with which Go's scheduler
//     interrupts its threads all the time;
//   - TSTP, TTIN, TTOU: the terminal sends them to the whole job, and we must stop as the child does;
//   - what was ignored when we were started (nohup): catching it would end that for the child, too;
//   - 32 and 33, which belong to the C library.
func forwarded() []os.Signal {
	var list []os.Signal
	for n := 1; n <= 64; n++ {
		switch sig := syscall.Signal(n); sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG,
			syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, 32, 33:
		default:
			if !signal.Ignored(sig) {
				list = append(list, sig)
			}
		}
	}
	return list
}

// forward leaves out what the terminal has sent to the child already: a second Ctrl-C means "now" to many
// programs. Errors have no one to go to; the child may just have ended.
func forward(pid int, sig syscall.Signal) {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH:
		if inForeground() {
			return
		}
	}
	_ = syscall.Kill(pid, sig)
}

// inForeground: does our process group, which is the child's, have a terminal's attention?
// Never so under an engine, whose shims have no controlling terminal.
func inForeground() bool {
	tty, err := syscall.Open("/dev/tty", syscall.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = syscall.Close(tty) }()
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
