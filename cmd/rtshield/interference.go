package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// printInterference says what has arrived on a grant's CPUs, a line for each.
func printInterference(page terminal.Page, grant status.Grant) {
	delta := grant.Interference
	if delta == nil {
		return
	}
	fmt.Fprintf(page, "\nwhat arrived on the CPUs of %s:\n", grant.Name)
	for _, cpu := range delta.CPUs {
		if cpu.Offline {
			page.Say("  ", fmt.Sprintf("cpu %d: offline", cpu.CPU))
			continue
		}
		page.Say("  ", fmt.Sprintf("cpu %d: %s in %s", cpu.CPU, strings.Join(arrived(delta, cpu), ", "), seconds(delta.Seconds)))
		if len(cpu.Devices) > 0 {
			page.Say("    ", worst(cpu.Devices))
		}
	}
	if len(delta.CPUs) > 1 {
		if tasks := foreign(delta.ForeignNS, delta.ForeignTurnsAtMost); tasks != "" {
			page.Say("  ", "together: "+tasks)
		}
	}
}

// arrived lists what hit one CPU. What is usually nothing is only named if it was something.
func arrived(delta *interference.Delta, cpu interference.CPU) []string {
	parts := []string{
		many(cpu.DeviceIRQs(), "device irq"), many(cpu.Ticks, "tick"), many(cpu.IPIs(), "ipi"),
	}
	if other := cpu.Others(); other > 0 {
		parts = append(parts, many(other, "other interrupt"))
	}
	parts = append(parts, many(cpu.AllSoftirqs(), "softirq"))
	if cpu.StealMS > 0 {
		parts = append(parts, fmt.Sprintf("%d ms stolen", cpu.StealMS))
	}
	tasks := foreign(cpu.ForeignNS, nil)
	if len(delta.CPUs) == 1 {
		tasks = foreign(delta.ForeignNS, delta.ForeignTurnsAtMost)
	}
	if tasks != "" {
		parts = append(parts, tasks)
	}
	return parts
}

// foreign says what is known of tasks that are not the container's.
func foreign(ns, turns *uint64) string {
	switch {
	case ns != nil && turns != nil:
		return fmt.Sprintf("foreign tasks %s, at most %d times", milliseconds(*ns), *turns)
	case ns != nil:
		return "foreign tasks " + milliseconds(*ns)
	case turns != nil:
		return fmt.Sprintf("foreign tasks at most %d times", *turns)
	}
	return ""
}

// worst names the devices whose interrupts came most often.
func worst(devices []interference.Device) string {
	const few = 4
	var names []string
	for i, device := range devices {
		if i == few {
			names = append(names, fmt.Sprintf("and %d more", len(devices)-few))
			break
		}
		name := device.Name
		if name == "" {
			name = "no handler"
		}
		names = append(names, fmt.Sprintf("irq %d (%s) %d", device.IRQ, name, device.Count))
	}
	return strings.Join(names, ", ")
}

func many(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func milliseconds(ns uint64) string { return fmt.Sprintf("%.1f ms", float64(ns)/1e6) }

func seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 60:
		return fmt.Sprintf("%.0f s", s)
	}
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
