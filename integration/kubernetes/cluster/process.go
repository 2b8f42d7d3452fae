package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is one daemon of the cluster's. It writes to <dir>/<name>.log.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed then
}

// start starts it. It ends with the thread that called: see runtime.LockOSThread.
func start(dir, name, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cmd: exec.Command(program, args...), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Ctrl-C is for us; and it ends with us, also in a panic.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState says how
		close(p.exited)
	}()
	return p, nil
}

// stop ends it with a signal, and after ten seconds with SIGKILL. Twice is no error.
func (p *process) stop(signal syscall.Signal) error {
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within 10 s of %v\n%s", p.name, signal, p.lastWords())
	}
}

// runs gives an error if it has ended by itself.
func (p *process) runs() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s has ended (%v)\n%s", p.name, p.cmd.ProcessState, p.lastWords())
	default:
		return nil
	}
}

// lastWords are the end of its log.
func (p *process) lastWords() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
