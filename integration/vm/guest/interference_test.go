//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/internal/host/interference"
)

// arrived is what status counts for a container on a CPU of its own.
func (r *rig) arrived(id string) (interference.CPU, interference.Delta) {
	r.Helper()
	grant := r.grant(id)
	if grant.Interference == nil || len(grant.Interference.CPUs) != 1 || grant.Interference.CPUs[0].CPU != grant.CPUs.List()[0] {
		r.Fatalf("status counts %+v on CPU %s", grant.Interference, grant.CPUs)
	}
	return grant.Interference.CPUs[0], *grant.Interference
}

// refresh makes the kernel run a work item on every CPU: its per-CPU worker is a foreign task that nobody can move.
func refresh(r *rig) {
	r.Helper()
	const times = 10
	for range times {
		if err := os.WriteFile("/proc/sys/vm/stat_refresh", []byte("1"), 0); err != nil {
			r.Fatal(err)
		}
	}
}

func TestInterferenceIsCountedPerCPU(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		pid := r.begin("run", "a", class("fifo"))
		r.runs(pid, "sleep")
		time.Sleep(time.Second)
		cpu, before := r.arrived("a")
		asleep := isolated(r) && cpu.Ticks == 0 // nohz_full= stops the tick for good
		if before.Seconds < 1 || cpu.Ticks == 0 && !asleep || float64(cpu.Ticks) > 5000*before.Seconds {
			r.Errorf("%d ticks in %v s", cpu.Ticks, before.Seconds)
		}
		_, movable := interrupts(r)
		for _, device := range cpu.Devices {
			// Once it may arrive: the kernel moves it with its next interrupt.
			if name := movable[fmt.Sprint(device.IRQ)]; name == device.Name && device.Count > 1 {
				r.Errorf("%s was moved away and arrived %d times", device.Name, device.Count)
			}
		}
		refresh(r)
		_, after := r.arrived("a")
		r.Logf("before %s", told(before))
		r.Logf("after %s", told(after))
		if after.ForeignNS == nil || before.ForeignNS == nil {
			r.Fatalf("the container sleeps, and foreign time is not told")
		}
		if *after.ForeignNS <= *before.ForeignNS || float64(*after.ForeignNS) > after.Seconds*1e9 {
			r.Errorf("workers of the kernel ran on CPU %d: %d ns, then %d ns", cpu.CPU, *before.ForeignNS, *after.ForeignNS)
		}
		if unified() && (after.ForeignTurnsAtMost == nil || *after.ForeignTurnsAtMost < *before.ForeignTurnsAtMost+5) {
			r.Errorf("workers of the kernel came ten times: %s, then %s", told(before), told(after))
		}
		line := fmt.Sprintf("cpu %d: ", cpu.CPU)
		r.contains("status", r.must(r.command("status")).out, "what arrived on the CPUs of a:", line, " tick", "foreign tasks ")
		if setting, err := os.ReadFile("/proc/sys/kernel/sched_schedstats"); err == nil {
			r.Logf("kernel.sched_schedstats is %s", strings.TrimSpace(string(setting)))
		}
		r.end("a")
		r.asBefore("after delete")
	})
}

func told(delta interference.Delta) string {
	text := fmt.Sprintf("%.2f s: %+v", delta.Seconds, delta.CPUs)
	for name, value := range map[string]*uint64{"foreign ns": delta.ForeignNS, "turns at most": delta.ForeignTurnsAtMost, "turns": delta.CPUs[0].Turns} {
		if value != nil {
			text += fmt.Sprintf(", %s %d", name, *value)
		}
	}
	return text
}

func TestWhatAContainerDoesItselfIsNoInterference(t *testing.T) {
	once(t, func(r *rig) {
		spin := "/bin/busybox timeout 3 /bin/sh -c 'while :; do :; done'; exec /bin/sleep 600"
		pid := r.begin("run", "a", class("batch"), args("/bin/sh", "-c", spin))
		_, busy := r.arrived("a")
		r.Logf("busy %s", told(busy))
		if unified() && busy.ForeignNS != nil && busy.Seconds < 3 {
			r.Errorf("the container is running, and foreign time is told all the same: %s", told(busy))
		}
		r.runs(pid, "sleep")
		_, after := r.arrived("a")
		r.Logf("after %s", told(after))
		if after.ForeignNS == nil || *after.ForeignNS > 1_500_000_000 || after.Seconds < 3 {
			r.Errorf("it worked for 3 s itself, and that is taken for foreign tasks: %s", told(after))
		}
	})
}
