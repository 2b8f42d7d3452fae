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
	"github.com/rtshield/rtshield/integration/threads"
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
		{"a quota", write(own("cpu", "cpu.cfs_quota_us"), "50000"), []string{"quota: cpu.cfs_quota_us of ", `is "50% of a CPU (50ms in each 100ms)" and should be "no bound"`}},
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

// holding gives what the promises of a name say of the only container, those that hold.
func holding(report verify.Report, name string) string {
	var held []string
	for _, promise := range report.Containers[0].Promises {
		if promise.Mark == verify.Holds && promise.Name == name {
			held = append(held, promise.What)
		}
	}
	return strings.Join(held, "; ")
}

func TestVerifyKnowsBandwidths(t *testing.T) {
	r := newest(t)
	pid := r.Detach("web", r.Bundle("web", rig.Class("batch"), bandwidth("30%", "cpu-period", "50ms", "cpu-burst", "10%")))
	const given, promised = "15000/50000/5000", "30% of a CPU (15ms in each 50ms, and 5ms more of what was left before)"
	report := verified(r, 0)
	has(r, "at first", holding(report, "quota"), promised)
	if found := broken(report); len(found) > 0 || report.Totals[verify.Unknown] > 0 {
		r.Errorf("at first: %q, %+v", found, report.Totals)
	}
	for _, sabotage := range []struct{ file, value, now string }{
		{"cpu.cfs_quota_us", "10000", "20% of a CPU (10ms in each 50ms, and 5ms more of what was left before)"},
		{"cpu.cfs_quota_us", "-1", "no bound"},
		{"cpu.cfs_period_us", "100000", "15% of a CPU (15ms in each 100ms, and 5ms more of what was left before)"},
		{"cpu.cfs_burst_us", "0", "30% of a CPU (15ms in each 50ms)"},
	} {
		put(r, rig.Cgroup("cpu", rig.CgroupParent+"/web", sabotage.file), sabotage.value)
		found := broken(verified(r, 1))
		if len(found) != 1 {
			r.Errorf("%s = %s: %q", sabotage.file, sabotage.value, found)
		}
		has(r, sabotage.file, strings.Join(found, "; "), "quota: cpu.cfs_quota_us of ", fmt.Sprintf("is %q and should be %q", sabotage.now, promised))
		mended := verified(r, 0, "--repair")
		if now := quota(r, "web"); now != given || len(broken(mended)) > 0 {
			r.Errorf("%s = %s: after %q the kernel gives it %s, want %s; broken %q", sabotage.file, sabotage.value, mended.Repaired, now, given, broken(mended))
		}
	}
	// Where nothing bounds it.
	enter(r, filepath.Dir(rig.Cgroup("cpu", "/", "x")), pid)
	has(r, "elsewhere", strings.Join(broken(verified(r, 1)), "; "), fmt.Sprintf("cpuset: the cgroup of pid %d is ", pid))
	verified(r, 0, "--repair")
	if cgroup := r.Text(fmt.Sprintf("/proc/%d/cgroup", pid)); strings.Count(cgroup, rig.CgroupParent+"/web") < 2 || quota(r, "web") != given {
		r.Errorf("after repair it is in %s, with %s", cgroup, quota(r, "web"))
	}
	r.End("web")

	if len(budgets(rig.CgroupParent)) > 0 {
		r.Detach("fast", r.Bundle("fast", rig.Class("fifo"), rig.Annotate("rt-bandwidth", "40%")))
		report := verified(r, 0)
		has(r, "a budget", holding(report, "budget"), "real-time threads have 400000 of 1000000 µs")
		has(r, "a budget", holding(report, "quota"), "none on its CPUs")
		r.End("fast")
	}
	r.AsBefore("after delete")
}

func TestVerifyKnowsThreadRules(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), parted)
	named := newNamed(r)
	pid := begun(r, r.Bundle("web", mask, rules, named.Edit))
	report := verified(r, 0)
	if found := broken(report); len(found) > 0 || report.Totals[verify.Unknown] > 0 {
		r.Errorf("at first: %q, %+v", found, report.Totals)
	}
	has(r, "at first", holding(report, "policy"), "other of its first thread")
	has(r, "at first", holding(report, "rules"), "threads are as ctl-*=fifo:80@0, io-*=rr:40@0 says, and are watched")
	has(r, "at first", holding(report, "parts"), "exec and ordinary threads run on CPU 0, real-time ones on CPU 1")
	find := func(name string) int {
		r.Helper()
		tid, err := threads.Find(pid, name)
		if err != nil {
			r.Fatal(err)
		}
		return tid
	}
	for _, sabotage := range []struct {
		name, words string
		do          func()
	}{
		{"pinned anew", "rules: 1 thread(s) are not as their rule says: ctl-0 has fifo 80 on 0, not fifo 80 on 1: ", func() { pin(r, find("ctl-0"), 0) }},
		{"made ordinary", "rules: 1 thread(s) are not as their rule says: io-0 has other on 1, not rr 40 on 1: ", func() { schedule(r, find("io-0"), unix.SCHED_NORMAL, 0) }},
		{"raised", "threads: thread ", func() { schedule(r, find("ctl-0"), unix.SCHED_FIFO, 95) }},
		{"its first thread raised", "policy: its first thread has fifo 20 and should have other", func() { schedule(r, pid, unix.SCHED_FIFO, 20) }},
	} {
		sabotage.do()
		has(r, sabotage.name, strings.Join(broken(verified(r, 1)), "; "), sabotage.words)
		if mended := verified(r, 0, "--repair"); len(broken(mended)) > 0 {
			r.Errorf("%s: after %q %q is broken", sabotage.name, mended.Repaired, broken(mended))
		}
		if err := threads.Differ(pid, placed); err != nil {
			r.Errorf("%s: after repair: %v", sabotage.name, err)
		}
	}
	killWatcher(r)
	has(r, "without a watcher", strings.Join(broken(verified(r, 1)), "; "), "rules: threads that are born or renamed from now on keep what they have: the process that watches them was ended")
	noWatcher(r, "verify changes nothing")
	has(r, "repair", strings.Join(verified(r, 0, "--repair").Repaired, "; "), "started the process that gives threads what their rules say")
	watcher(r)
	r.End("web")
	noWatcher(r, "after delete")
	r.AsBefore("after delete")
}

func TestVerifyComparesAFirstThreadThatARuleIsForWithThat(t *testing.T) {
	r := newest(t)
	named := newNamed(r)
	pid := r.Detach("web", r.Bundle("web", rig.Annotate("class", "fifo", "threads", "ctl-*=fifo:80@0, named=batch"), named.Edit))
	want := map[string]string{"ctl-0": "FIFO 80 on 1", "named": "BATCH 0 on 1"}
	r.Eventual(func() error { return threads.Differ(pid, want) })
	has(r, "at first", holding(verified(r, 0), "policy"), "batch on 1 of its first thread, by named=batch")
	schedule(r, pid, unix.SCHED_FIFO, 20)
	has(r, "raised", strings.Join(broken(verified(r, 1)), "; "), "policy: its first thread has fifo 20 on 1 and should have batch on 1, by named=batch", "rules: 1 thread(s)")
	if mended := verified(r, 0, "--repair"); len(broken(mended)) > 0 {
		r.Errorf("after %q %q is broken", mended.Repaired, broken(mended))
	}
	if err := threads.Differ(pid, want); err != nil {
		r.Error(err)
	}
	r.End("web")
	noWatcher(r, "after delete")
	r.AsBefore("after delete")
}

func TestVerifyNamesHugePagesThatAreGone(t *testing.T) {
	withPages(t, 1, testhost.Options{Classes: reserving}, func(r *rig.Rig) {
		r.Detach("b", r.Bundle("b", with("fifo", "hugepages", "2Mi=4")...))
		has(r, "at first", holding(verified(r, 0), "huge pages"), "2Mi=4 on node 0 (3 reserved for it)")
		put(r, allPool, "3")
		has(r, "a smaller pool", strings.Join(broken(verified(r, 1)), "; "), "huge pages: ", allPool+` is "3" and should be "4"`)
		if mended := verified(r, 0, "--repair"); len(broken(mended)) > 0 {
			r.Errorf("after %q %q is broken", mended.Repaired, broken(mended))
		}
		r.End("b")
		r.AsBefore("after delete")
	})
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
