//go:build vmguest

package guest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/status"
)

// spins wants a CPU, and ends by itself after a while.
var spins = args("/bin/sh", "-c", "ulimit -t 200; while :; do :; done")

// bound reads what the kernel gives a container, as cgroup v2 says it.
func (r *rig) bound(id string) string {
	r.Helper()
	if unified() {
		return r.knob(id, "cpu.max")
	}
	dir := mount + "/cpu" + parent + "/" + id
	return text(r, dir+"/cpu.cfs_quota_us") + " " + text(r, dir+"/cpu.cfs_period_us")
}

// spent is the CPU time that the kernel has accounted to a container, and in how many periods it was out of quota.
func (r *rig) spent(id string) (used time.Duration, periods, throttled int) {
	r.Helper()
	dir := mount + parent + "/" + id
	if !unified() {
		dir = mount + "/cpu" + parent + "/" + id
		used = time.Duration(number(r, text(r, mount+"/cpuacct"+parent+"/"+id+"/cpuacct.usage")))
	}
	for line := range strings.Lines(text(r, dir+"/cpu.stat")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "usage_usec":
			used = time.Duration(number(r, value)) * time.Microsecond
		case "nr_periods":
			periods = number(r, value)
		case "nr_throttled":
			throttled = number(r, value)
		}
	}
	return used, periods, throttled
}

// sampled is `rtshield status --json --sample`, the part of one container.
func (r *rig) sampled(id, sample string) status.Bandwidth {
	r.Helper()
	var now status.Status
	out := r.must(r.within(3*patience, rtshield, "status", "--json", "--sample", sample)).out
	if err := json.Unmarshal([]byte(out), &now); err != nil {
		r.Fatal(err)
	}
	for _, bandwidth := range now.Bandwidth {
		if bandwidth.ID == id && bandwidth.Last != nil {
			return bandwidth
		}
	}
	r.Fatalf("status tells of no bandwidth of %s: %s", id, out)
	return status.Bandwidth{}
}

func TestHalfACPUIsHalfACPU(t *testing.T) {
	onRunc(t, func(r *rig) {
		if release := text(r, "/proc/sys/kernel/osrelease"); strings.HasPrefix(release, "6.1.") || strings.HasPrefix(release, "6.12.") {
			r.Skip("elsewhere: before Linux 6.18 a PREEMPT_RT kernel may hang once a thread is out of quota: docs/bandwidth.md")
		}
		r.begin("run", "half", annotate("cpu-bandwidth", "50%"), spins)
		if _, err := os.Stat(r.ledger); err == nil || r.bound("half") != "50000 100000" {
			r.Errorf("the kernel gives it %s, ledger %v", r.bound("half"), err)
		}
		for try := 0; ; try++ {
			begun := time.Now()
			used, periods, throttled := r.spent("half")
			told := r.sampled("half", "10s").Last
			usedThen, periodsThen, throttledThen := r.spent("half")
			kernel := 100 * float64(usedThen-used) / float64(time.Since(begun))
			periods, throttled = periodsThen-periods, throttledThen-throttled
			r.Logf("$ %.2f%% of a CPU by the kernel, throttled in %d of %d periods; status: %+v", kernel, throttled, periods, *told)
			if throttled < periods-2 && try < 2 { // an emulator that stood still
				continue
			}
			if kernel > 52 || kernel < 50*float64(throttled)/float64(max(periods, 1))-2 || math.Abs(told.Percent-kernel) > 1 {
				r.Errorf("in 10 s it got %.2f%% of a CPU; status says %.2f%%", kernel, told.Percent)
			}
			break
		}
		r.must(r.updates("half", `{"memory":{"limit":67108864},"cpu":{"period":50000}}`))
		if r.bound("half") != "50000 100000" {
			r.Errorf("after an update that names no quota the kernel gives it %s", r.bound("half"))
		}
		r.must(r.updates("half", `{"cpu":{"quota":20000,"period":100000}}`))
		if r.bound("half") != "20000 100000" {
			r.Errorf("after one that names a quota the kernel gives it %s", r.bound("half"))
		}
		r.end("half")
		r.asBefore("after delete")
	})
}

func TestABandwidthIsWrittenByEachDelegate(t *testing.T) {
	each(t, func(r *rig) {
		r.begin("run", "half", annotate("cpu-bandwidth", "12.5%", "cpu-period", "20ms"))
		r.begin("run", "web", class("fifo"), annotate("cpu-bandwidth", "30%"))
		for id, want := range map[string]string{"half": "2500 20000", "web": "30000 100000"} {
			if now := r.bound(id); now != want {
				r.Errorf("the kernel gives %s %s, want %s", id, now, want)
			}
			told := r.sampled(id, "1ms")
			if now := fmt.Sprintf("%d %d", told.Share.Quota, told.Share.Period); now != want || told.Changed {
				r.Errorf("status: %+v", told)
			}
		}
		r.end("web")
		r.end("half")
		_, refused := r.try("run", "both", r.bundle("both", cpus("0"), annotate("cpu-bandwidth", "150%")))
		if refused.code != 1 {
			r.Errorf("150%% of CPU 0: %s", refused)
		}
		r.contains("150% of CPU 0", refused.stderr, "may run on 1 CPU: ask for 100% or less")
		r.asBefore("after delete")
	})
}

func TestRealTimeThreadsLeaveOrdinaryOnesTheRest(t *testing.T) {
	if out, err := exec.Command("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug").CombinedOutput(); err != nil {
		t.Fatalf("mount debugfs: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "/sys/kernel/debug").Run() })
	onRunc(t, func(r *rig) {
		const server = "/sys/kernel/debug/sched/fair_server/cpu5"
		_, none := os.Stat(server)
		pid, result := r.try("run", "a", r.bundle("a", class("fifo"), annotate("cpuset", "5", "rt-bandwidth", "60%"), spins))
		switch {
		case none != nil:
			r.contains("without a fair server", result.stderr, `rtshield.io/rt-bandwidth = "60%": this kernel has no such budget`, "no RT_GROUP_SCHED on cgroup v1", "this kernel has no fair server (Linux 6.12)")
			r.asBefore("after the refusal")
			r.Skip("the fair server came with Linux 6.12")
		case isolated(r):
			r.contains("under isolcpus=", result.stderr, `rtshield.io/rt-bandwidth = "60%"`, "the fair server of a CPU of isolcpus= (5)")
			r.asBefore("after the refusal")
			r.Skip("the kernel may not take back what it gives the fair server of a CPU of isolcpus=")
		case result.code != 0: // see TestTheFairServerOfAGrantedCPUCanBeTurnedOff
			r.contains("refused", result.stderr, "cannot have rt-bandwidth 60%", "fair server of CPU 5", "device or resource busy")
			r.asBefore("after the refusal")
			r.Log("limit: the kernel does not change the fair server of this CPU (EBUSY)")
			return
		}
		r.reads("running", server+"/runtime", "400000000")
		r.reads("running", strings.Replace(server, "cpu5", "cpu0", 1)+"/runtime", "50000000")
		r.policy("running", pid, unix.SCHED_FIFO, 50)
		// An ordinary loop beside the one at FIFO gets its 40 %, and more than the 5 % that it would have had.
		file := filepath.Join(r.dir, "pid-exec")
		r.must(r.within(3*patience, rtshield, "--root", r.root, "exec", "--detach", "--pid-file", file, "a", "/bin/sh", "-c", "ulimit -t 100; while :; do :; done"))
		ordinary := number(r, text(r, file))
		r.reap("exec", ordinary)
		r.runs(ordinary, "sh")
		begun, real, fair := time.Now(), parseStat(r, pid), parseStat(r, ordinary)
		time.Sleep(6 * time.Second)
		real, fair = parseStat(r, pid)-real, parseStat(r, ordinary)-fair
		share := 100 * float64(fair) / float64(max(fair+real, 1))
		r.Logf("$ in %v the FIFO loop had %d ticks, the ordinary one %d: %.0f%%", time.Since(begun).Round(time.Second), real, fair, share)
		if share < 25 || share > 55 {
			r.Errorf("the ordinary loop had %.0f%% of the CPU", share)
		}
		r.contains("limits", fmt.Sprint(r.grant("a").Limits), "real-time threads have more than 60% of CPU 5 while ordinary ones do not want the rest")
		if told := r.sampled("a", "10ms"); told.RealTime != "60%" || told.By != "the fair server of its CPUs" {
			r.Errorf("status: %+v", told)
		}
		r.end("a")
		r.reads("after delete", server+"/runtime", "50000000")
		r.asBefore("after delete")
	})
}
