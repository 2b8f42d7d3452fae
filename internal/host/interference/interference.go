// Package interference counts what happens on a CPU besides the work that it is there for: interrupts of devices, timer
// ticks, interrupts from other CPUs, softirqs, time that the hypervisor took, and the tasks that ran.
//
// All are counters of the kernel's that only grow: two readings and Since tell what happened between them.
package interference

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// Counters are those of one CPU since boot. What is zero is left out of the maps.
type Counters struct {
	// Devices counts the interrupts of devices by "number name", as /proc/interrupts has them: "36 virtio1-req.0".
	Devices map[string]uint64 `json:"devices,omitempty"`
	// Ticks are local timer interrupts. On arm64 that is the device arch_timer.
	Ticks uint64 `json:"ticks,omitempty"`
	// Reschedule and Call are the interrupts that other CPUs send. TLB counts shootdowns: on x86 each of them came by a
	// function call interrupt, and is in Call already.
	Reschedule uint64 `json:"reschedule,omitempty"`
	Call       uint64 `json:"call,omitempty"`
	TLB        uint64 `json:"tlb,omitempty"`
	// Other counts the architecture's other rows by their label: NMI, PMI, IWI, MCE, THR, …
	Other map[string]uint64 `json:"other,omitempty"`
	// Softirqs by name: TIMER, NET_RX, RCU, …
	Softirqs map[string]uint64 `json:"softirqs,omitempty"`
	// Steal is the time that the hypervisor gave to others, in units of 10 ms (USER_HZ).
	Steal uint64 `json:"steal,omitempty"`
	// Foreign is how long tasks outside of the container's cgroup ran, in ns. Nil where only their sum over several CPUs
	// can be known, or nothing.
	Foreign *uint64 `json:"foreign,omitempty"`
	// Tasks is what the run queue says of all tasks, the container's own among them. Nil without CONFIG_SCHEDSTATS.
	Tasks *Tasks `json:"tasks,omitempty"`
}

// Tasks is what a run queue counts of the tasks that it runs.
type Tasks struct {
	// Ran is for how long they ran, in ns, up to the last switch: what the present one has run so far is not in it.
	Ran uint64 `json:"ran"`
	// Turns is how often one came onto the CPU that was not on it before.
	Turns uint64 `json:"turns"`
}

// Own is what the container itself used, on all of its CPUs together.
type Own struct {
	// Time is for how long its tasks ran, in ns, those that have ended since among them.
	Time uint64 `json:"time"`
	// Turns says how often each of its threads came onto a CPU, by thread id, as far as it was born in the container. The
	// kernel keeps nothing of those that have ended.
	Turns map[int]uint64 `json:"turns,omitempty"`
	// Running says that one of its threads was running, or about to: Tasks.Ran does not have its present turn yet.
	Running bool `json:"running,omitempty"`
}

// Reading is all that was counted at one moment.
type Reading struct {
	// At is CLOCK_MONOTONIC, in ns.
	At   int64            `json:"at"`
	CPUs map[int]Counters `json:"cpus"`
	// Own is nil where the container's share is known for each CPU, in Counters.Foreign, or not at all.
	Own *Own `json:"own,omitempty"`
}

// Container is whose share of the CPUs is no interference.
type Container struct {
	// Cgroup is its place in the hierarchy that accounts for CPU time: cpuacct on cgroup v1.
	Cgroup host.Controller
	// PID is its first process.
	PID int
}

// Read counts what arrived on cpus, without tasks. A CPU that is offline is left out.
func Read(root host.Root, cpus cpuset.CPUSet) (map[int]Counters, error) {
	counters := map[int]*Counters{}
	for _, source := range []struct {
		file string
		read parser
	}{
		{"proc/interrupts", readInterrupts},
		{"proc/softirqs", readSoftirqs},
		{"proc/stat", readSteal},
		{"proc/schedstat", readSchedstat},
	} {
		err := parse(root, source.file, cpus, counters, source.read)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	result := make(map[int]Counters, len(counters))
	for cpu, c := range counters {
		result[cpu] = *c
	}
	return result, nil
}

// Take reads everything about cpus, and what of it was the container's.
func Take(root host.Root, cpus cpuset.CPUSet, container Container) (Reading, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return Reading{}, err
	}
	reading := Reading{At: now.Nano()}
	var err error
	if reading.CPUs, err = Read(root, cpus); err != nil {
		return Reading{}, err
	}
	return reading, tell(root, &reading, container)
}
