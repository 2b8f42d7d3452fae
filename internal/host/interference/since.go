package interference

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Delta is what happened on a container's CPUs between two readings. Its JSON form is a public interface.
type Delta struct {
	// Seconds between them.
	Seconds float64 `json:"seconds"`
	CPUs    []CPU   `json:"cpus"`
	// ForeignNS is for how long tasks that are not the container's ran on its CPUs together, in ns; on cgroup v2 the
	// interrupts that came while its own tasks ran count too. Nil where it cannot be known, as while the container
	// itself is running on cgroup v2.
	ForeignNS *uint64 `json:"foreignNs,omitempty"`
	// ForeignTurnsAtMost bounds how often a task that is not the container's came onto one of its CPUs. It is too high by
	// the turns of the container's threads that have ended since. Nil without CONFIG_SCHEDSTATS.
	ForeignTurnsAtMost *uint64 `json:"foreignTurnsAtMost,omitempty"`
}

// CPU is what happened on one CPU.
type CPU struct {
	CPU int `json:"cpu"`
	// Offline: the CPU counts nothing now.
	Offline bool `json:"offline,omitempty"`
	// Devices are those whose interrupts arrived, worst first.
	Devices    []Device `json:"devices"`
	Ticks      uint64   `json:"ticks"`
	Reschedule uint64   `json:"reschedule"`
	Call       uint64   `json:"call"`
	TLB        uint64   `json:"tlb"`
	// Other interrupts by the label that /proc/interrupts gives them, Softirqs by theirs in /proc/softirqs.
	Other    map[string]uint64 `json:"other,omitempty"`
	Softirqs map[string]uint64 `json:"softirqs,omitempty"`
	StealMS  uint64            `json:"stealMs"`
	// ForeignNS is for how long tasks that are not the container's ran here, in ns. Nil where it is known only for all
	// CPUs of the container together, or not at all.
	ForeignNS *uint64 `json:"foreignNs,omitempty"`
	// Turns is how often any task came onto this CPU, also the container's own. Nil without CONFIG_SCHEDSTATS.
	Turns *uint64 `json:"turns,omitempty"`
}

// Device is an interrupt with its handlers' names.
type Device struct {
	IRQ   int    `json:"irq"`
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// IPIs are the interrupts that other CPUs sent. Those for a TLB shootdown are among the function calls.
func (c CPU) IPIs() uint64 { return c.Reschedule + c.Call }

// Others counts the interrupts that are neither of devices nor ticks nor from other CPUs.
func (c CPU) Others() uint64 { return added(c.Other) }

// AllSoftirqs counts those of all kinds.
func (c CPU) AllSoftirqs() uint64 { return added(c.Softirqs) }

func added(counts map[string]uint64) (total uint64) {
	for _, count := range counts {
		total += count
	}
	return total
}

// DeviceIRQs counts them all.
func (c CPU) DeviceIRQs() (total uint64) {
	for _, device := range c.Devices {
		total += device.Count
	}
	return total
}

// Sum is what happened on all of a container's CPUs together.
type Sum struct{ IRQs, Ticks, IPIs, Other, Softirqs, StealMS uint64 }

// Sum adds up the CPUs.
func (d Delta) Sum() (sum Sum) {
	for _, cpu := range d.CPUs {
		sum.IRQs += cpu.DeviceIRQs()
		sum.Ticks += cpu.Ticks
		sum.IPIs += cpu.IPIs()
		sum.Other += cpu.Others()
		sum.Softirqs += cpu.AllSoftirqs()
		sum.StealMS += cpu.StealMS
	}
	return sum
}

// Since gives what happened between an earlier reading and now, on the CPUs that the earlier one has.
func (now Reading) Since(start Reading) Delta {
	delta := Delta{Seconds: float64(max(now.At-start.At, 0)) / 1e9, CPUs: []CPU{}}
	foreign, whole := uint64(0), len(start.CPUs) > 0
	for cpu, before := range start.CPUs {
		after, online := now.CPUs[cpu]
		if !online {
			delta.CPUs = append(delta.CPUs, CPU{CPU: cpu, Offline: true, Devices: []Device{}})
			whole = false
			continue
		}
		one := after.since(before)
		one.CPU = cpu
		delta.CPUs = append(delta.CPUs, one)
		if one.ForeignNS == nil {
			whole = false
		} else {
			foreign += *one.ForeignNS
		}
	}
	slices.SortFunc(delta.CPUs, func(a, b CPU) int { return a.CPU - b.CPU })
	if whole {
		delta.ForeignNS = &foreign
	} else {
		now.foreign(start, &delta)
	}
	return delta
}

func (c Counters) since(start Counters) CPU {
	one := CPU{
		Devices: []Device{}, Ticks: grown(c.Ticks, start.Ticks), Reschedule: grown(c.Reschedule, start.Reschedule),
		Call: grown(c.Call, start.Call), TLB: grown(c.TLB, start.TLB), Other: difference(c.Other, start.Other),
		Softirqs: difference(c.Softirqs, start.Softirqs), StealMS: 10 * (c.Steal - min(c.Steal, start.Steal)),
	}
	for key, count := range difference(c.Devices, start.Devices) {
		number, name, _ := strings.Cut(key, " ")
		irq, _ := strconv.Atoi(number)
		one.Devices = append(one.Devices, Device{irq, name, count})
	}
	slices.SortFunc(one.Devices, func(a, b Device) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), a.IRQ-b.IRQ)
	})
	if c.Foreign != nil && start.Foreign != nil {
		ns := *c.Foreign - min(*c.Foreign, *start.Foreign)
		one.ForeignNS = &ns
	}
	if c.Tasks != nil && start.Tasks != nil {
		turns := c.Tasks.Turns - min(c.Tasks.Turns, start.Tasks.Turns)
		one.Turns = &turns
	}
	return one
}

// foreign takes the container's own part from what all run queues of its CPUs counted.
func (now Reading) foreign(start Reading, delta *Delta) {
	if now.Own == nil || start.Own == nil {
		return
	}
	var ran, turns uint64
	for cpu, before := range start.CPUs {
		after := now.CPUs[cpu]
		if before.Tasks == nil || after.Tasks == nil {
			return
		}
		ran += after.Tasks.Ran - min(after.Tasks.Ran, before.Tasks.Ran)
		turns += after.Tasks.Turns - min(after.Tasks.Turns, before.Tasks.Turns)
	}
	for tid, count := range now.Own.Turns {
		own := count - min(count, start.Own.Turns[tid])
		turns -= min(turns, own)
	}
	delta.ForeignTurnsAtMost = &turns
	if now.Own.Running || start.Own.Running {
		return
	}
	own := now.Own.Time - min(now.Own.Time, start.Own.Time)
	ran -= min(ran, own)
	delta.ForeignNS = &ran
}

func difference(now, start map[string]uint64) map[string]uint64 {
	var delta map[string]uint64
	for key, count := range now {
		add(&delta, key, grown(count, start[key]))
	}
	return delta
}

// grown is how much a counter of 32 bits has grown. One that is lower than before has wrapped if that is the shorter way;
// else it began anew, for a device that went and came back.
func grown(now, start uint64) uint64 {
	switch {
	case now >= start:
		return now - start
	case start-now > 1<<31:
		return now + 1<<32 - start
	}
	return now
}
