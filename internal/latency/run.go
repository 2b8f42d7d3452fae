package latency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// way is a Way with what it takes to run it.
type way struct {
	*Way
	runtime string // absolute path
	bundle  string
	comm    string        // what cyclictest is called as a process
	grant   *shield.Grant // what rtshield promised; nil for plain runc
}

// place is what all runs share: where the delegate keeps its state, and how long one may take.
type place struct {
	root  string
	limit time.Duration
}

// starting is how long a container may take to start and to end, on a host whose CPUs are all busy. An emulated one
// has taken 40 s.
const starting = 2 * time.Minute

// run runs a container in the foreground, and gives what it printed. When ctx ends, the program in it is asked to end, and
// what it prints then counts. inside is called while it runs, with the pid of its first process.
func (p place) run(ctx context.Context, w way, id string, inside func(pid int) error) (*bytes.Buffer, error) {
	pidFile := filepath.Join(w.bundle, "pid")
	_ = os.Remove(pidFile)
	cmd := exec.Command(w.runtime, "--root", p.root, "run", "--bundle", w.bundle, "--pid-file", pidFile, id)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to handle
	cmd.WaitDelay = 5 * time.Second
	if err := startPunctual(cmd); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	err := p.follow(ctx, w, id, pidFile, ended, inside)
	if err != nil || ctx.Err() != nil {
		// What is left of a container that ended half-way; none is no error.
		_ = p.command(w, "delete", "--force", id)
	}
	said := strings.TrimSpace(stderr.String())
	var status *exec.ExitError
	switch {
	case errors.As(err, &status) && said != "":
		return nil, fmt.Errorf("%s: %s run: %w: %s", w.Name, filepath.Base(w.runtime), err, strings.ReplaceAll(said, "\n", "; "))
	case err != nil:
		return nil, fmt.Errorf("measuring %s: %w", w.Name, err)
	}
	return &stdout, nil
}

// follow waits until the container has ended, and ends it when the time is over.
func (p place) follow(ctx context.Context, w way, id, pidFile string, ended <-chan error, inside func(pid int) error) error {
	limit, looks := time.After(p.limit), time.NewTicker(20*time.Millisecond)
	defer looks.Stop()
	var problem error
	looked, asked := false, 0
	for {
		select {
		case err := <-ended:
			switch {
			case ctx.Err() != nil:
				return nil // it was asked to end, wherever it was
			case err != nil:
				return err
			case problem == nil && !looked:
				return errors.New("the container ended before it could be looked at")
			}
			return problem
		case <-limit:
			_ = p.command(w, "kill", id, "KILL")
			<-ended
			return fmt.Errorf("the container did not end within %v", p.limit)
		case <-looks.C:
		}
		if ctx.Err() != nil {
			// Again and again: one that is just being created is not there yet, and a first process takes no signal
			// before it has a handler for it.
			if asked++; asked%10 == 1 {
				_ = p.command(w, "kill", id, "TERM")
			}
			if asked > 500 {
				_ = p.command(w, "kill", id, "KILL")
			}
			continue
		}
		if text, err := os.ReadFile(pidFile); !looked && err == nil && len(text) > 0 {
			pid, err := strconv.Atoi(string(text))
			if err == nil {
				err = inside(pid)
			}
			if errors.Is(err, errNotYet) {
				continue
			}
			looked, problem = true, err
		}
	}
}

// errNotYet: the container is not as far as that; look again.
var errNotYet = errors.New("not yet")

// startPunctual starts a program whose timers come when they are due, and not up to 50 µs later, as those of ordinary
// threads (prctl(2), PR_SET_TIMERSLACK): real-time ones have no slack, and the ways shall compare. What it starts inherits
// that.
func startPunctual(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) }() // 0: what it was born with
	return cmd.Start()
}

// command runs another verb on the container, also after Ctrl-C.
func (p place) command(w way, verb string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.runtime, append([]string{"--root", p.root, verb}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", w.runtime, verb, err, bytes.TrimSpace(out))
	}
	return nil
}

// look reads of cyclictest's measuring thread where it may run and under which policy: from the kernel, not from what a
// runtime says that it did. What a grant promises must be so.
func (w way) look(pid int) error {
	stat, err := task.Read(host.System, pid)
	if err != nil || stat.Comm != w.comm {
		return errNotYet // runc itself, still
	}
	tids, err := task.Threads(host.System, pid)
	if err != nil || len(tids) < 2 {
		return errNotYet
	}
	tid := tids[slices.IndexFunc(tids, func(tid int) bool { return tid != pid })]
	cpus, err := task.Affinity(tid)
	if err != nil {
		return err
	}
	attr, err := sched.Get(tid)
	if err != nil {
		return err
	}
	w.CPUs, w.Policy = shield.CPUsOf(cpus), policyName(attr)
	if w.grant == nil {
		return nil
	}
	if want := grantedPolicy(*w.grant); w.Policy != want {
		if w.Policy == "other" {
			return errNotYet // the thread is born ordinary
		}
		return fmt.Errorf("cyclictest runs under %s, not under %s", w.Policy, want)
	}
	if !cpus.Equals(w.grant.CPUs.CPUSet) {
		return fmt.Errorf("cyclictest may run on CPU %s, not on %s, which was promised", w.CPUs, w.grant.CPUs)
	}
	return nil
}

// policyName is such as "fifo 50".
func policyName(attr sched.Attr) string {
	name, known := map[uint32]string{
		unix.SCHED_NORMAL: "other", unix.SCHED_BATCH: "batch", unix.SCHED_FIFO: "fifo", unix.SCHED_RR: "rr", unix.SCHED_DEADLINE: "deadline",
	}[attr.Policy]
	if !known {
		name = fmt.Sprintf("policy %d", attr.Policy)
	}
	if attr.Priority > 0 {
		name += fmt.Sprintf(" %d", attr.Priority)
	}
	return name
}

func grantedPolicy(grant shield.Grant) string {
	if grant.Policy.HasPriority() {
		return fmt.Sprintf("%s %d", grant.Policy, grant.Priority)
	}
	return string(grant.Policy)
}
