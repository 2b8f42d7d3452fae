//go:build vmguest

package guest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/threads"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/verify"
)

// verified runs verify, and gives its exit status with what it calls broken, as "promise: what: why".
func (r *rig) verified(args ...string) (status int, broken []string) {
	r.Helper()
	result := r.command(append([]string{"verify", "--json"}, args...)...)
	var report verify.Report
	if err := json.Unmarshal([]byte(result.out), &report); err != nil {
		r.Fatalf("%v: %s", err, result)
	}
	promises := slices.Clone(report.Host)
	for _, container := range report.Containers {
		promises = append(promises, container.Promises...)
	}
	for _, promise := range promises {
		switch promise.Mark {
		case verify.Broken:
			broken = append(broken, promise.Name+": "+promise.What+": "+promise.Why)
		case verify.Unknown:
			r.Errorf("not looked at: %+v", promise)
		}
	}
	return result.code, broken
}

// sabotaged fails unless verify says 1 and some broken promise has all the words, and holds again after a repair.
func (r *rig) sabotaged(name string, words ...string) {
	r.Helper()
	status, broken := r.verified()
	if status != 1 || !slices.ContainsFunc(broken, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	}) {
		r.Errorf("%s: status %d, none of %q has %q", name, status, broken, words)
	}
	status, broken = r.verified("--repair")
	for range 5 { // what changes a partition settles on its own time
		if status != 0 {
			status, broken = r.verified()
		}
	}
	if status != 0 || len(broken) > 0 {
		r.Errorf("%s: after a repair status %d, broken %q", name, status, broken)
	}
}

// What takes cgroup v2, two memory nodes, a real irqbalance, or a kernel without budgets; integration/runc has the others.
func TestVerifyNamesEachSabotageAndRepairMendsIt(t *testing.T) {
	once(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		dir := cpusetMount() + parent + "/a"
		if status, broken := r.verified(); status != 0 {
			r.Fatalf("at first: status %d, %q", status, broken)
		}
		r.put(dir+"/cpuset.mems", "0-1")
		r.sabotaged("memory nodes", "memory: cpuset.mems of "+dir, `is "0-1" and should be "`+grant.Mems.String())
		r.put(dir+"/cpuset.cpus", "0-7")
		r.sabotaged("its own cpuset", "cpuset: cpuset.cpus of "+dir, `is "0-7"`)
		if noPartition(r) == "" {
			r.put(dir+"/cpuset.cpus.partition", "member")
			r.sabotaged("a member", "partition: "+dir+"/cpuset.cpus.partition", `is "member" and should be "isolated"`)
			r.put(mount+"/pods/cpuset.cpus.exclusive", "\n")
			r.sabotaged("nothing lent", "partition: "+mount+"/pods/cpuset.cpus.exclusive")
		}
		if unified() {
			r.put(dir+"/cpu.max", "50000 100000")
			r.sabotaged("a quota", "quota: cpu.max of "+dir, `is "50% of a CPU (50ms in each 100ms)" and should be "no bound"`)
		}
		if !host.System.AtLeast(6, 12) {
			const knob = "/proc/sys/kernel/sched_rt_runtime_us"
			was := text(r, knob)
			r.Cleanup(func() { r.put(knob, was) })
			r.put(knob, "500000")
			status, broken := r.verified("--repair")
			r.contains("throttling", strings.Join(broken, "; "), "throttling: real-time threads may have 50 % of each CPU of this host, and could have 95 %")
			if status != 1 {
				r.Errorf("status %d", status)
			}
			r.put(knob, was)
		}
		if !isolated(r) { // it leaves those of isolcpus= out by itself
			r.balance() // one that starts while the container runs does not know of it
			r.eventually(func() error {
				_, broken := r.verified()
				return find(broken, "interrupts: irqbalance may bring interrupts to CPU ")
			})
			r.sabotaged("irqbalance", "interrupts: irqbalance may bring interrupts to CPU ")
		}
		r.end("a")
		r.forgets()
	})
}

func TestVerifyKnowsBandwidthsAndThreadRules(t *testing.T) {
	onRunc(t, func(r *rig) {
		named, err := threads.New(r.dir+"/threads", "/usr/local/bin/named")
		if err != nil {
			r.Fatal(err)
		}
		pid := r.begin("run", "a", class("fifo"), named.Edit, annotate("cpus", "3", "smt", "prefer", "realtime-mask", "^0",
			"threads", "ctl-*=fifo:80@0, io-*=rr:40@1", "cpu-bandwidth", "150%"))
		all := r.grant("a").CPUs.List()
		placed := map[string]string{
			"ctl-0": fmt.Sprintf("FIFO 80 on %d", all[1]), "io-0": fmt.Sprintf("RR 40 on %d", all[2]),
			"log": fmt.Sprintf("OTHER 0 on %d", all[0]), "named": fmt.Sprintf("OTHER 0 on %d", all[0]),
		}
		r.eventually(func() error { return threads.Differ(pid, placed) })
		if status, broken := r.verified(); status != 0 {
			r.Fatalf("at first: status %d, %q", status, broken)
		}
		dir, file, lifted := mount+"/cpu"+parent+"/a", "cpu.cfs_quota_us", "-1"
		if unified() {
			dir, file, lifted = mount+parent+"/a", "cpu.max", "max"
		}
		given := r.bound("a")
		r.put(dir+"/"+file, lifted)
		r.sabotaged("no bound", "quota: "+file+" of ", parent+`/a is "no bound" and should be "150% of a CPU (150ms in each 100ms)"`)
		if now := r.bound("a"); now != given {
			r.Errorf("after a repair the kernel gives it %s, want %s", now, given)
		}
		tid, err := threads.Find(pid, "ctl-0")
		if err != nil {
			r.Fatal(err)
		}
		var other unix.CPUSet
		other.Set(all[2])
		if err := unix.SchedSetaffinity(tid, &other); err != nil {
			r.Fatal(err)
		}
		r.sabotaged("a ruled thread elsewhere", "rules: 1 thread(s) are not as their rule says: ", fmt.Sprintf("ctl-0 has fifo 80 on %d, not fifo 80 on %d", all[2], all[1]))
		if err := threads.Differ(pid, placed); err != nil {
			r.Error(err)
		}
		r.end("a")
		r.forgets()
	})
}

func find(lines []string, start string) error {
	for _, line := range lines {
		if strings.HasPrefix(line, start) {
			return nil
		}
	}
	return equal(strings.Join(lines, "; "), start)
}
