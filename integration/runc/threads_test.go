package runc_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/integration/threads"
)

// parted has the ordinary part of a container on the housekeeping CPU: this host has one other.
var parted = testhost.Options{Classes: "[class.fifo]\nordinary = \"housekeeping\"\n"}

// mask parts a container into CPU 0 and CPU 1.
var mask = rig.Annotate("class", "fifo", "cpus", "2", "realtime-mask", "^0")

// rules for the threads of threads.Named, and where these are by them.
var (
	rules  = rig.Annotate("threads", "ctl-*=fifo:80@0, io-*=rr:40@0")
	placed = map[string]string{"ctl-0": "FIFO 80 on 1", "io-0": "RR 40 on 1", "log": "OTHER 0 on 0", "named": "OTHER 0 on 0"}
)

// soon is within how long a thread has its place.
const soon = 50 * time.Millisecond

func newNamed(r *rig.Rig) *threads.Named {
	r.Helper()
	named, err := threads.New(filepath.Join(r.Dir, "threads"), testhost.Named(r))
	if err != nil {
		r.Fatal(err)
	}
	return named
}

// begun starts a container of named threads, and waits until they are where they should be.
func begun(r *rig.Rig, bundle string) int {
	r.Helper()
	pid, since := r.Detach("web", bundle), time.Now()
	r.Eventual(func() error { return threads.Differ(pid, placed) })
	r.Logf("all threads are in their places within %v of the start", time.Since(since))
	return pid
}

// late fails unless threads that are born and renamed get their places soon. One that waits for a CPU of a loaded host is no
// fault of ours, so most count.
func late(r *rig.Rig, when string, named *threads.Named, pid int) {
	r.Helper()
	waits, err := named.Late(pid, 20*time.Second)
	if err != nil {
		r.Fatalf("%s: %v", when, err)
	}
	r.Logf("%s: threads that were born or renamed waited for their places: %v", when, waits)
	if len(waits) != 8 || waits[len(waits)*3/4] > soon {
		r.Errorf("%s: threads that were born or renamed waited %v, want at most %v", when, waits, soon)
	}
}

// watcher is the one that there should be.
func watcher(r *rig.Rig) int {
	r.Helper()
	pids := threads.Watchers(r.Policy.State)
	if len(pids) != 1 {
		r.Fatalf("watchers %v, want one", pids)
	}
	return pids[0]
}

func killWatcher(r *rig.Rig) {
	r.Helper()
	pid := watcher(r)
	testhost.Kill9(r, pid)
	testhost.Ended(r, 10*time.Second, pid)
}

func noWatcher(r *rig.Rig, when string) {
	r.Helper()
	r.Eventual(func() error {
		if pids := threads.Watchers(r.Policy.State); len(pids) > 0 {
			return fmt.Errorf("%s: watchers %v", when, pids)
		}
		return nil
	})
}

func TestThreadsRunAsTheirRulesSay(t *testing.T) {
	rig.EachWith(t, parted, func(r *rig.Rig) {
		named := newNamed(r)
		bundle := r.Bundle("web", mask, rules, named.Edit)
		if strings.Contains(r.Must(r.Plain("--version")).Stdout, "1.1.5") {
			res, _ := r.TryBegin("create", "web", bundle)
			refused(r, res, "realtime-mask ^0 keeps exec on the ordinary CPU 0, which runc 1.1.5", "cannot: take runc 1.3, crun 1.19 or later")
			r.AsBefore("after the refusal")
			return
		}
		has(r, "explain", r.Must(r.Shield("explain", "--bundle", bundle)).Stdout,
			"real-time part: CPU 1\n", "ordinary part: CPU 0 (housekeeping), for init, exec and threads without a rule\n",
			"threads ctl-*: fifo 80 on 1\n", "threads io-*: rr 40 on 1\n", `linux.resources.cpu.cpus: absent → "0-1"`, "process.execCPUAffinity: absent →")
		noWatcher(r, "explain")

		pid := begun(r, bundle)
		r.Runs(pid, unix.SCHED_NORMAL, 0, "0")
		if cpus := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/web", "cpuset.cpus")); cpus != "0-1" {
			r.Errorf("cpuset.cpus of the container is %q", cpus)
		}
		has(r, "its environment", strings.Join(r.Environ(pid), "\n"), "RTSHIELD_CPUS=1\n", "RTSHIELD_RT_CPUS=1\n", "RTSHIELD_ORDINARY_CPUS=0")
		late(r, "at first", named, pid)
		if now := r.Must(r.Shield("status")).Stdout; strings.Contains(now, "should be") || strings.Contains(now, "as their rule says") {
			r.Errorf("status: %s", now)
		} else {
			has(r, "status", now, "web, init and exec: ordinary on CPU 0; real-time part CPU 1", "threads of web, by ctl-*=fifo:80@0, io-*=rr:40@0:", "ctl-0  fifo 80 on 1", "io-0   rr 40 on 1")
		}

		first := watcher(r)
		r.Runs(first, unix.SCHED_NORMAL, 0, "0")
		if cgroup := r.Text(fmt.Sprintf("/proc/%d/cgroup", first)); strings.Contains(cgroup, rig.CgroupParent) {
			r.Errorf("the watcher is in a cgroup of the container's: %s", cgroup)
		}
		for what, again := range map[string]func() rig.Result{
			"reconcile": func() rig.Result { return r.Shield("reconcile") },
			"exec":      func() rig.Result { return r.OCI("exec", "web", "/bin/true") },
			"update":    func() rig.Result { return engine(r, "web", `{"memory": {"limit": 67108864}}`) },
		} {
			killWatcher(r)
			if err := threads.Differ(pid, placed); err != nil {
				r.Errorf("the watcher was killed: %v", err)
			}
			has(r, "status without a watcher", r.Must(r.Shield("status")).Stdout, "threads that are born or renamed from now on keep what they have: the process that watches them was ended (rtshield reconcile)")
			r.Must(again())
			watcher(r)
			late(r, "after "+what, named, pid)
		}
		r.Stop("web")
		noWatcher(r, "the container has ended, and nobody has deleted it")
		r.Must(r.OCI("delete", "web"))
		r.AsBefore("after delete")
	})
}

// What a program does to its own threads the kernel tells nobody; and what exec adds is not the program's.
func TestRulesAreForTheContainersProgramAlone(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), parted)
	named := newNamed(r)
	pid := begun(r, r.Bundle("web", mask, rules, named.Edit))
	pidFile := filepath.Join(r.Dir, "exec.pid")
	r.Must(r.OCI("exec", "--detach", "--pid-file", pidFile, "web", "/threads/named", "/threads/out"))
	added := r.Adopt(pidFile)
	r.Eventual(func() error {
		return threads.Differ(added, map[string]string{"ctl-0": "OTHER 0 on 0", "io-0": "OTHER 0 on 0", "log": "OTHER 0 on 0"})
	})
	late(r, "beside it", named, pid)
	now, err := threads.Places(added)
	if err != nil || now["ctl-0"] != "OTHER 0 on 0" {
		r.Errorf("what exec added has %v, %v", now, err)
	}

	tid, err := threads.Find(pid, "ctl-0")
	if err != nil {
		r.Fatal(err)
	}
	var zero unix.CPUSet
	zero.Set(0)
	if err := unix.SchedSetaffinity(tid, &zero); err != nil {
		r.Fatal(err)
	}
	has(r, "status", r.Must(r.Shield("status")).Stdout, "1 thread(s) are not as their rule says: ctl-0 has fifo 80 on 0, not fifo 80 on 1", "should be fifo 80 on 1")
	has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, fmt.Sprintf("thread %d", tid), "→ ")
	if err := threads.Differ(pid, placed); err != nil {
		r.Error(err)
	}
	r.End("web")
	noWatcher(r, "after delete")
}

func TestExecIsPromptWhileTheRealTimePartSpins(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), parted)
	named := newNamed(r)
	pid := begun(r, r.Bundle("web", mask, rules, named.Edit))
	before := percpu(r, "web")
	if err := named.Spin(pid); err != nil {
		r.Fatal(err)
	}
	r.Eventual(func() error { return threads.Differ(pid, map[string]string{"ctl-spin": "FIFO 80 on 1"}) })
	var took []time.Duration
	for range 5 {
		begun := time.Now()
		has(r, "exec", r.Must(r.OCI("exec", "web", "/bin/cat", "/proc/self/status")).Stdout, "Cpus_allowed_list:\t0\n")
		took = append(took, time.Since(begun))
	}
	spun := percpu(r, "web")[1] - before[1]
	r.Logf("exec answers within %v, while CPU 1 spins: %v by now", took, spun)
	if slices.Sort(took); took[1] > 200*time.Millisecond {
		r.Errorf("exec took %v, want at most 200ms", took)
	}
	if total := took[0] + took[1] + took[2] + took[3] + took[4]; spun < total*8/10 {
		r.Errorf("the real-time part ran for %v, in which exec took %v: it did not spin", spun, total)
	}
	r.End("web")
	noWatcher(r, "after delete")
}

// Where nothing is masked, all of the container is the real-time part, and its first process may have a rule as well.
func TestRulesHoldWithoutAMask(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		named := newNamed(r)
		pid := r.Detach("web", r.Bundle("web", rig.Annotate("class", "fifo", "threads", "ctl-*=fifo:80@0, log=other, named=batch"), named.Edit))
		want := map[string]string{"ctl-0": "FIFO 80 on 1", "log": "OTHER 0 on 1", "named": "BATCH 0 on 1"}
		r.Eventual(func() error { return threads.Differ(pid, want) })
		if now := r.Must(r.Shield("status")).Stdout; strings.Contains(now, "as their rule says") {
			r.Errorf("status: %s", now)
		}
		r.End("web")
		noWatcher(r, "after delete")
		r.AsBefore("after delete")
	})
}
