// Package workload is work that competes for the CPUs of a host while latencies are measured: processes of ours, under the
// ordinary policy, which the scheduler may run wherever they are let.
package workload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The words of Start that are no command.
const (
	Builtin = "builtin"
	None    = "none"
)

// Load is what Start has started.
type Load struct {
	// What says in words what runs.
	What     string
	children []*child
}

type child struct {
	*exec.Cmd
	ended  chan struct{}
	err    error
	stderr strings.Builder
}

// Start starts the built-in load, or a command of the user's: words with blanks between them. dir takes the file that the built-in one writes.
func Start(what, dir string) (*Load, error) {
	switch what {
	case None:
		return &Load{What: "nothing"}, nil
	case Builtin:
		return startBuiltin(dir)
	}
	l := &Load{What: what}
	// Without a shell: what ends with us, also after SIGKILL, is the program itself.
	words := strings.Fields(what)
	return l, l.start(exec.Command(words[0], words[1:]...))
}

// startBuiltin starts this program again, once for each kind of work.
func startBuiltin(dir string) (*Load, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cpus := runtime.NumCPU()
	busy, pairs := 2*cpus, 4*cpus
	l := &Load{What: fmt.Sprintf("%d busy loops, %d pairs that pass messages, a memory copier and a file writer", busy, pairs)}
	for _, work := range []struct {
		kind    string
		threads int
	}{{"busy", busy}, {"talk", 2 * pairs}, {"copy", 1}, {"write", 1}} {
		cmd := exec.Command(self, verb, work.kind, strconv.Itoa(work.threads), dir)
		// A thread for each piece of work, and no signals of Go's own between them.
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(work.threads), "GODEBUG=asyncpreemptoff=1")
		if err := l.start(cmd); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *Load) start(cmd *exec.Cmd) error {
	c := &child{Cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &c.stderr
	cmd.WaitDelay = time.Second
	// Not in our process group, so that Ctrl-C leaves the order of cleaning up to us; and gone with us even after SIGKILL.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		l.Stop()
		return fmt.Errorf("load: %w", err)
	}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	l.children = append(l.children, c)
	return nil
}

// Running is nil while all of the load runs.
func (l *Load) Running() error {
	for _, c := range l.children {
		select {
		case <-c.ended:
			if c.err == nil {
				c.err = errors.New("exit status 0")
			}
			said := strings.TrimSpace(c.stderr.String())
			return fmt.Errorf("the load has ended (%w) before all was measured: %s", c.err, strings.ReplaceAll(said, "\n", "; "))
		default:
		}
	}
	return nil
}

// Stop ends the load, and waits until it has ended.
func (l *Load) Stop() {
	for _, c := range l.children {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
	}
	for _, c := range l.children {
		select {
		case <-c.ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-c.ended
		}
	}
	l.children = nil
}
