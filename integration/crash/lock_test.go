package crash_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/shield"
)

// prompt bounds what does not wait for anybody, on a loaded machine.
const prompt = shield.LockWait / 2

func TestWhoWaitsForTheLockIsToldWhoHoldsItAndTheContainerStaysShielded(t *testing.T) {
	w := watch(newCrash(rig.New(t, testhost.Runc(t), testhost.Options{})))
	w.Track("another")
	holder, err := (shield.Store{Dir: w.Policy.State}).Open("the test")
	if err != nil {
		t.Fatal(err)
	}
	closeOnce := sync.OnceFunc(holder.Close)
	defer closeOnce()
	begun := time.Now()
	results := make(chan rig.Result)
	commands := [][]string{
		{"--root", w.Root, "create", "--bundle", w.bundle, "another"},
		{"--root", w.Root, "create", "--bundle", w.ordinary, neighbour},
		{"reconcile"},
	}
	for _, args := range commands {
		go func() { results <- w.Shield(args...) }()
	}
	w.Must(w.Shield("status"))
	w.Must(w.OCI("state", id))
	w.Must(w.update())
	if waited := time.Since(begun); waited > prompt {
		t.Errorf("status, state and update waited for the lock: %v", waited)
	}
	for range commands {
		w.refused(<-results, "lock", "is held for more than "+shield.LockWait.String(), fmt.Sprintf("pid %d (the test)", os.Getpid()))
	}
	if waited := time.Since(begun); waited > 2*shield.LockWait {
		t.Errorf("they waited %v", waited)
	}
	closeOnce()
	w.Must(w.Shield("reconcile"))
	w.shielded("at the end")
	w.back("after the lock was free")
}

func TestTheStateOfWhatHasEndedWaitsForNobodyLong(t *testing.T) {
	w := newCrash(rig.New(t, testhost.Runc(t), testhost.Options{}))
	w.created()
	w.Stop(id)
	holder, err := (shield.Store{Dir: w.Policy.State}).Open("the test")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	res := w.Must(w.OCI("state", id))
	waited := time.Since(begun)
	holder.Close()
	if waited > prompt || !strings.Contains(res.Stdout, `"stopped"`) || w.Ledger() == nil {
		t.Errorf("after %v: %s", waited, res)
	}
	w.Must(w.OCI("state", id))
	if ledger := w.Ledger(); ledger != nil {
		t.Errorf("after the lock was free: %+v", ledger)
	}
	w.Must(w.OCI("delete", id))
	w.back("after delete")
}

// A delegate or a hook of the user's that never comes back.
func TestWhatHangsDoesNotHoldTheLock(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	base := newCrash(r)
	if err := os.MkdirAll(r.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		// hangs is what the delegate's command line has when it hangs.
		hangs   string
		prepare func(*crash)
		args    func(*crash) []string
	}{
		{"a delegate that is asked for its version", "--version", (*crash).firstEver, (*crash).createArgs},
		{"a delegate that creates", " create ", nil, (*crash).createArgs},
		{"a delegate that deletes", " delete ", (*crash).created, func(c *crash) []string { return []string{"--root", c.Root, "delete", "--force", id} }},
		{"a delegate that updates a shielded container", " update ", (*crash).created, func(c *crash) []string {
			return []string{"--root", c.Root, "update", "--resources", c.resources(), id}
		}},
		{"a delegate that updates an ordinary container", " update ", (*crash).createdBoth, func(c *crash) []string {
			return []string{"--root", c.Root, "update", "--cpuset-cpus", "0-1", neighbour}
		}},
		{"a delegate that is asked for the state of an ordinary container", " state ", (*crash).createdForgetful, func(c *crash) []string {
			return []string{"--root", c.Root, "update", "--cpuset-cpus", "0", neighbour}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			crash := base.in(t)
			if c.prepare != nil {
				c.prepare(crash)
			}
			defer crash.back(c.name)
			mark := filepath.Join(crash.Dir, "hangs")
			_ = os.Remove(mark)
			program := filepath.Join(crash.Dir, "hanging")
			policy := filepath.Join(crash.Dir, "hanging.toml")
			for path, text := range map[string]string{
				program: fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *%q*) : >%s; exec %s sleep 60 ;; esac\nexec %s \"$@\"\n", c.hangs, mark, rig.Busybox, crash.Runc),
				policy:  fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n", program, crash.Policy.State),
			} {
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			plain := crash.Env
			crash.Env = []string{"RTSHIELD_CONFIG=" + policy}
			crash.Must(crash.Shield("reconcile")) // leaves the pointer to this delegate
			cmd := exec.Command(crash.Rtshield, c.args(crash)...)
			cmd.Env = append(os.Environ(), crash.Env...)
			crash.Env = plain
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // a group of ours
				_ = cmd.Wait()
			}()
			crash.Eventual(func() error { _, err := os.Stat(mark); return err })
			begun := time.Now()
			res := crash.Must(crash.Shield("reconcile"))
			if waited := time.Since(begun); waited > prompt {
				t.Errorf("reconcile waited %v: %s", waited, res)
			}
		})
	}
}

// createdForgetful has an ordinary container that the ledger does not know, though another holds a CPU.
func (c *crash) createdForgetful() {
	c.Helper()
	file := filepath.Join(c.Dir, "pid-"+neighbour)
	c.Must(c.OCI("create", "--bundle", c.ordinary, "--pid-file", file, neighbour))
	c.Adopt(file)
	c.created()
}

// The delegate gives our hook HookTimeout; somebody else's may take for ever, and ours has let the lock go by then.
func TestAHookThatHangsDoesNotHoldTheLock(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	c := newCrash(r)
	mark := filepath.Join(c.Dir, "hangs")
	c.Change(c.bundle, hangingHook(mark))
	_ = os.Remove(c.pidFile())
	cmd := exec.Command(c.Rtshield, c.createArgs()...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // a group of ours
		_ = cmd.Wait()
	})
	defer end()
	c.Eventual(func() error { _, err := os.Stat(mark); return err })
	begun := time.Now()
	c.Must(c.Shield("reconcile"))
	if waited := time.Since(begun); waited > prompt {
		t.Errorf("reconcile waited %v", waited)
	}
	grant := c.Grant(id)
	if grant.CPUs.String() != "1" {
		t.Errorf("granted %+v", grant)
	}
	end()
	go func() { _, _ = unix.Wait4(grant.Owner.PID, nil, 0, nil) }() // what a shim does; a zombie holds its cgroup's budget
	rig.Clear(c.Rig, rig.CgroupParent+"/"+id)
	c.back("after the hanging hook")
}
