package runc_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/verify"
)

// verified runs verify and gives what it found. Other tasks of this machine that come meanwhile are not what is tested.
func verified(r *rig.Rig, status int, args ...string) verify.Report {
	r.Helper()
	res := r.Shield(append([]string{"verify", "--json"}, args...)...)
	var report verify.Report
	if err := json.Unmarshal([]byte(res.Stdout), &report); err != nil {
		r.Fatalf("%v: %s", err, res)
	}
	if noise := report.Totals[verify.Broken] - len(broken(report)); res.Code != status && !(status == 0 && res.Code == 1 && noise == report.Totals[verify.Broken]) {
		r.Errorf("want status %d: %s", status, res)
	}
	return report
}

// broken gives the promises that verify calls broken, as "name: what: why".
func broken(report verify.Report) (lines []string) {
	promises := slices.Clone(report.Host)
	for _, container := range report.Containers {
		promises = append(promises, container.Promises...)
	}
	for _, promise := range promises {
		foreign := strings.Contains(promise.What, " thread(s) may run on CPU ") && !strings.Contains(promise.What, "rt-sleeper")
		if promise.Mark == verify.Broken && !foreign {
			lines = append(lines, promise.Name+": "+promise.What+": "+promise.Why)
		}
	}
	return lines
}

// knob gives a setting that the ledger has a baseline of: rtshield has written it.
func knob(r *rig.Rig, prefix string, without ...string) string {
	r.Helper()
	for _, name := range slices.Sorted(maps.Keys(r.Ledger().Baselines)) {
		if name, found := strings.CutPrefix(name, prefix); found && !slices.Contains(without, name) {
			return name
		}
	}
	r.Fatalf("no %s… in the ledger: %v", prefix, r.Ledger().Baselines)
	return ""
}

func schedule(r *rig.Rig, pid int, policy, priority uint32) {
	r.Helper()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}
	if err := unix.SchedSetAttr(pid, &attr, 0); err != nil {
		r.Fatalf("policy of %d: %v", pid, err)
	}
}

func pin(r *rig.Rig, pid int, cpus ...int) {
	r.Helper()
	var mask unix.CPUSet
	for _, cpu := range cpus {
		mask.Set(cpu)
	}
	if err := unix.SchedSetaffinity(pid, &mask); err != nil {
		r.Fatalf("affinity of %d: %v", pid, err)
	}
}

// pretend runs a program of that name, which sleeps.
func pretend(r *rig.Rig, name string) {
	r.Helper()
	path := filepath.Join(r.Dir, name)
	program, err := os.ReadFile(rig.Busybox)
	if err == nil {
		err = os.WriteFile(path, program, 0o755)
	}
	cmd := &exec.Cmd{Path: path, Args: []string{"sleep", "300"}}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// child gives the pid of a process's first child.
func child(r *rig.Rig, pid int) (pids int) {
	r.Helper()
	r.Eventual(func() error {
		fields := strings.Fields(r.Text(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)))
		if len(fields) == 0 {
			return fmt.Errorf("pid %d has no child", pid)
		}
		var err error
		pids, err = strconv.Atoi(fields[0])
		return err
	})
	return pids
}

// Each is done behind rtshield's back to the same container. verify names it, --repair mends it, and verify says that all holds.
func TestVerifyNamesEachSabotageAndRepairMendsIt(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: "[class.fifo]\nirq_claim = [\"*\"]\n"})
	claimed := interruptsOf(r, false)[0]
	pid := r.Detach("web", r.Bundle("web", rig.Class("fifo"), rig.Annotate("irq-claim", claimed.name),
		rig.Args("/bin/sh", "-c", "sleep 300 & sleep 300")))
	other := child(r, pid)
	own := func(controller, file string) string { return rig.Cgroup(controller, rig.CgroupParent+"/web", file) }
	write := func(path, value string) func() { return func() { r.Helper(); put(r, path, value) } }
	sleeper, guest, rogue := r.Sleeper(), r.Sleeper(), cpusetBeside(r, "rogue", "0")
	added := filepath.Join(r.Dir, "added")
	pretend(r, "tuned")

	if before := verified(r, 0); len(before.Containers) != 1 || before.Totals[verify.Holds] < 9 || before.Totals[verify.Unknown] > 0 {
		r.Fatalf("at first: %+v", before)
	}
	for _, sabotage := range []struct {
		name  string
		do    func()
		words []string // of one broken promise, which starts with the first
	}{
		{"an interrupt's mask", write("/proc/irq/"+knob(r, "irq:", claimed.number)+"/smp_affinity_list", "0-1"), []string{"interrupts: irq ", "may arrive on CPU 1", "tuned runs"}},
		{"a claimed interrupt", write("/proc/irq/"+claimed.number+"/smp_affinity_list", "0"), []string{"interrupts: irq " + claimed.number, "is claimed, and may arrive on CPU 0"}},
		{"the mask of new interrupts", write("/proc/irq/default_smp_affinity", "3"), []string{"interrupts: /proc/irq/default_smp_affinity is"}},
		{"the mask of workqueues", write("/sys/devices/virtual/workqueue/cpumask", "3"), []string{"kernel work: /sys/devices/virtual/workqueue/cpumask is", "tuned runs"}},
		{"the CPUs of the watchdog", write("/proc/sys/kernel/watchdog_cpumask", "0-1"), []string{"kernel work: /proc/sys/kernel/watchdog_cpumask is"}},
		{"the exit latency", write(latency, "0"), []string{"power: " + latency + " is"}},
		{"a task pinned onto the CPU", func() { pin(r, sleeper, 1) }, []string{"other tasks: ", "may run on CPU 1: ", "rt-sleeper"}},
		{"a cpuset beside it", func() {
			put(r, rogue+"/cpuset.cpus", "0-1")
			enter(r, rogue, guest)
		}, []string{"other tasks: " + rogue + "/cpuset.cpus is"}},
		{"the real-time budget", write(own("cpu", "cpu.rt_runtime_us"), "1000"), []string{"budget: ", "rtshield-test/a/web/cpu.rt_runtime_us is"}},
		{"a quota", write(own("cpu", "cpu.cfs_quota_us"), "50000"), []string{"quota: cpu.cfs_quota_us of ", `is "50000" and should be "-1"`}},
		{"its own cpuset", write(own("cpuset", "cpuset.cpus"), "0-1"), []string{"cpuset: cpuset.cpus of ", `is "0-1" and should be "1"`}},
		{"another policy", func() { schedule(r, pid, unix.SCHED_NORMAL, 0) }, []string{"policy: its first thread has other and should have fifo 50"}},
		{"a lower priority", func() { schedule(r, pid, unix.SCHED_FIFO, 10) }, []string{"policy: its first thread has fifo 10"}},
		{"round robin", func() { schedule(r, pid, unix.SCHED_RR, 50) }, []string{"policy: its first thread has rr 50"}},
		{"a priority above the ceiling", func() { schedule(r, other, unix.SCHED_FIFO, 90) },
			[]string{fmt.Sprintf("threads: thread %d (sleep) fifo 90: class fifo allows real-time priority 80", other)}},
		{"exec in real time", func() {
			r.Must(r.Plain("exec", "--detach", "--pid-file", added, "web", "/bin/sleep", "300"))
			schedule(r, r.Adopt(added), unix.SCHED_FIFO, 40)
		}, []string{"exec: thread ", "(sleep) fifo 40", "exec = demote"}},
		{"its first process in another cpuset", func() { enter(r, rogue, pid) }, []string{fmt.Sprintf("cpuset: the cgroup of pid %d is %q", pid, rogue)}},
		{"its first process in another cgroup for CPU time", func() { enter(r, filepath.Dir(rig.Cgroup("cpu", "/", "x")), pid) },
			[]string{fmt.Sprintf("cpuset: the cgroup of pid %d is", pid)}},
	} {
		if t.Failed() {
			break
		}
		sabotage.do()
		report := verified(r, 1)
		found := slices.ContainsFunc(broken(report), func(line string) bool {
			return strings.HasPrefix(line, sabotage.words[0]) && !slices.ContainsFunc(sabotage.words, func(words string) bool { return !strings.Contains(line, words) })
		})
		if !found {
			r.Errorf("%s: none of %q has %q", sabotage.name, broken(report), sabotage.words)
		}
		if mended := verified(r, 0, "--repair"); len(broken(mended)) > 0 || len(mended.Repaired) == 0 {
			r.Errorf("%s: after %q %q is broken", sabotage.name, mended.Repaired, broken(mended))
		}
	}
	r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
	r.Runs(other, unix.SCHED_FIFO, 80, shieldCPU)
	if text, err := os.ReadFile(added); err == nil {
		pid, _ := strconv.Atoi(string(text))
		r.Runs(pid, unix.SCHED_NORMAL, 0, shieldCPU)
	}
	r.End("web")
}

func TestVerifyNamesAContainerThatHasEndedAndRepairReleasesIt(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	pid := r.Detach("lost", r.Bundle("lost", rig.Class("fifo")))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		r.Fatal(err)
	}
	r.Eventual(func() error { return ended(pid) })
	found := broken(verified(r, 1, "lost"))
	has(r, "broken", strings.Join(found, "; "), fmt.Sprintf("owner: its process, pid %d, has ended, and it still holds CPU 1", pid))
	mended := verified(r, 0, "--repair")
	has(r, "repaired", strings.Join(mended.Repaired, "; "), "released lost", "default_smp_affinity")
	if len(mended.Containers) > 0 {
		r.Errorf("still there: %+v", mended.Containers)
	}
	r.Must(r.OCI("delete", "lost"))
	r.AsBefore("after repair and delete")
}

func TestVerifyNamesADeletedLedger(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	r.Detach("web", r.Bundle("web", rig.Class("fifo")))
	aside := r.Policy.Ledger() + ".aside"
	if err := os.Rename(r.Policy.Ledger(), aside); err != nil {
		r.Fatal(err)
	}
	has(r, "broken", strings.Join(broken(verified(r, 1)), "; "), "ledger: it was deleted while a container ran", rig.CgroupParent+"/web", "CPU 1")
	res := r.Shield("verify", "--repair")
	if res.Code != 2 || res.Stdout != "" || len(lines(res.Stderr)) != 1 {
		r.Errorf("a repair that cannot be: %s", res)
	}
	if err := os.Rename(aside, r.Policy.Ledger()); err != nil {
		r.Fatal(err)
	}
	verified(r, 0)
	r.End("web")
	r.AsBefore("after delete")
}

func TestVerifyNamesAThreadOnTheCPUsOfExec(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), elsewhere)
	pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
	if report := verified(r, 0); len(report.Containers) != 1 {
		r.Fatalf("%+v", report)
	}
	pin(r, pid, 0)
	has(r, "broken", strings.Join(broken(verified(r, 1)), "; "), "exec: 1 thread(s) of the container may run on CPU 0: ")
	verified(r, 0, "--repair")
	r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
	r.End("web")
	r.AsBefore("after delete")
}

func TestVerifyReadsWhatWasPromisedOfMemory(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: "[class.fifo]\nthp = \"never\"\nmemory_policy = \"bind\"\n"})
	pid := r.Create("web", r.Bundle("web", rig.Class("fifo")))
	promised := func(when string) {
		var held []string
		for _, promise := range verified(r, 0).Containers[0].Promises {
			if promise.Mark == verify.Holds && promise.Name == "memory" {
				held = append(held, promise.What)
			}
		}
		has(r, when, strings.Join(held, "; "), "new memory is of node 0", "bound to node 0", "no transparent huge pages")
	}
	promised("created")
	r.Must(r.OCI("start", "web"))
	r.Eventual(func() error { return programIs(pid, "/bin/busybox") })
	promised("started")
	r.End("web")
}

func TestVerifySaysWhatItCannotLookAt(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	has(r, "without a container", r.Must(r.Shield("verify")).Stdout, "no container holds a CPU: nothing was promised")
	r.Detach("web", r.Bundle("web", rig.Class("fifo")))
	text := r.Must(r.Shield("verify", "web")).Stdout
	has(r, "verify", text, "web: class fifo, CPU 1, pid ", "  holds    policy       fifo 50 of its first thread\n", "  holds    interrupts   ",
		"  cannot   ", "  counted  CPU 1        ", "1 container: ", " 0 broken, ", " 0 unknown\n")
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			r.Errorf("%d columns: %s", n, line)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"verify", "web", "db"}, `knows no shielded container "db"`},
		{[]string{"verify", "--all"}, "-all"},
		{[]string{"verify", "web", "--all"}, `"--all" is neither a flag nor an id`},
	} {
		if res := r.Shield(c.args...); res.Code != 2 || res.Stdout != "" || len(lines(res.Stderr)) != 1 || !strings.Contains(res.Stderr, c.want) {
			r.Errorf("want one line with %q and status 2: %s", c.want, res)
		}
	}
	program := filepath.Join(r.Dir, "rtshield") // where others can run it
	data, err := os.ReadFile(r.Rtshield)
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		r.Fatal(err)
	}
	cmd := r.Command(t.Context(), program, "verify")
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || len(lines(string(out))) != 1 {
		r.Errorf("as nobody: %v: %s", err, out)
	}
	has(r, "as nobody", string(out), "what was promised is in the ledger in "+r.Policy.State, "root's alone", "run verify as root")
	r.End("web")
}
