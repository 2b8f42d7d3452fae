package main

import (
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

func ptr(n uint64) *uint64 { return &n }

func TestEachCPUHasALineOfWhatArrived(t *testing.T) {
	five := interference.CPU{CPU: 5, Ticks: 12, Reschedule: 1, Call: 2, TLB: 2}
	hit := interference.CPU{
		CPU: 6, Devices: []interference.Device{{IRQ: 36, Name: "disk", Count: 7}, {IRQ: 37, Name: "net", Count: 6}, {IRQ: 38, Name: "usb", Count: 5}, {IRQ: 39, Name: "", Count: 4}, {IRQ: 40, Name: "tty", Count: 3}},
		Ticks: 1, Other: map[string]uint64{"NMI": 1}, Softirqs: map[string]uint64{"RCU": 2, "TIMER": 3}, StealMS: 20, ForeignNS: ptr(1_250_000),
	}
	for _, c := range []struct {
		name  string
		delta interference.Delta
		want  string
	}{
		{
			"quiet", interference.Delta{Seconds: 41.2, CPUs: []interference.CPU{five}, ForeignNS: ptr(0), ForeignTurnsAtMost: ptr(3)},
			"  cpu 5: 0 device irqs, 12 ticks, 3 ipis, 0 softirqs, foreign tasks 0.0 ms, at most 3 times in 41 s\n",
		},
		{
			"the container is running on cgroup v2", interference.Delta{Seconds: 4.12, CPUs: []interference.CPU{five}, ForeignTurnsAtMost: ptr(3)},
			"  cpu 5: 0 device irqs, 12 ticks, 3 ipis, 0 softirqs, foreign tasks at most 3 times in 4.1 s\n",
		},
		{
			"nothing is known of tasks", interference.Delta{Seconds: 100, CPUs: []interference.CPU{five}},
			"  cpu 5: 0 device irqs, 12 ticks, 3 ipis, 0 softirqs in 1m40s\n",
		},
		{
			"two CPUs, of which one was hit", interference.Delta{Seconds: 41, CPUs: []interference.CPU{five, hit}, ForeignNS: ptr(2_000_000)},
			"  cpu 5: 0 device irqs, 12 ticks, 3 ipis, 0 softirqs in 41 s\n" +
				"  cpu 6: 25 device irqs, 1 tick, 0 ipis, 1 other interrupt, 5 softirqs, 20 ms stolen, foreign tasks 1.2 ms in 41 s\n" +
				"    irq 36 (disk) 7, irq 37 (net) 6, irq 38 (usb) 5, irq 39 (no handler) 4, and 1 more\n" +
				"  together: foreign tasks 2.0 ms\n",
		},
		{
			"offline", interference.Delta{Seconds: 41, CPUs: []interference.CPU{{CPU: 5, Offline: true}}},
			"  cpu 5: offline\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			printInterference(terminal.To(&out), status.Grant{Name: "web", Interference: &c.delta})
			if want := "\nwhat arrived on the CPUs of web:\n" + c.want; out.String() != want {
				t.Errorf("got\n%s\nwant\n%s", out.String(), want)
			}
		})
	}
}
