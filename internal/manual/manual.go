// Package manual tells people what can be asked for: what `rtshield help` shows, and the documentation repeats. Words and
// defaults are those of the code.
package manual

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/shield"
)

// Annotation is one that a container may have.
type Annotation struct{ Key, Values, Default string }

// Annotations lists them all.
func Annotations() []Annotation {
	fifo := shield.BuiltinClasses()["fifo"]
	classes := slices.Collect(maps.Keys(shield.BuiltinClasses()))
	slices.SortFunc(classes, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	const none = "none"
	return []Annotation{
		{shield.KeyClass, strings.Join(classes, ", ") + ", or a class of the policy file", "none: an ordinary container"},
		{shield.KeyCPUs, "how many whole CPUs, 2", fmt.Sprint(fifo.CPUs)},
		{shield.KeyCPUSet, "these ones, 4-5 (Docker's --cpuset-cpus counts too)", "allocated"},
		{shield.KeyPolicy, "fifo rr deadline other batch, not above the class's own", "class"},
		{shield.KeyPriority, fmt.Sprintf("1-99, up to the class's ceiling (%d)", fifo.MaxPriority), fmt.Sprint(fifo.Priority)},
		{shield.KeyDeadline, "runtime/deadline/period, 200us/1ms/1ms", "class"},
		{shield.KeySMT, "isolate (one thread of each core, siblings idle), require (whole cores), prefer", fifo.SMT},
		{shield.KeyNUMA, "single (one memory node or refused), prefer, any", fifo.NUMA},
		{shield.KeyNear, "a device whose node is wanted: netdev eth1, pci 0000:3b:00.0, irq-claim", none},
		{shield.KeyIRQ, "away, keep", fifo.IRQ},
		{shield.KeyIRQClaim, "interrupts to bring onto its CPUs, by handler or device, eth1-rx-*, nvme0", none},
		{shield.KeyPartition, "auto, isolated, root, none", fifo.Partition},
		{shield.KeyCStates, "keep, off (no sleep), or the longest exit latency allowed, 100us", "class, " + fifo.Power.CStates},
		{shield.KeyGovernor, "keep, or a name out of scaling_available_governors", "class, " + fifo.Power.Governor},
		{shield.KeyRealtimeMask, "positions within its CPUs that stay ordinary, ^0, as Nova's hw:cpu_realtime_mask", none},
		{shield.KeyThreads, "how threads of a name run, ctl-*=fifo:80@0, io-*=rr:40@1", none},
		{shield.KeyCPUBandwidth, "how much of one CPU its ordinary threads may have, 50%, 150%; also for ordinary containers", "no bound"},
		{shield.KeyCPUPeriod, "the period that cpu-bandwidth is counted in, 10ms", "100ms"},
		{shield.KeyCPUBurst, "how much more, of what was left before, 20%", none},
		{shield.KeyRTBandwidth, "how much of each of its CPUs real-time threads may have, 80%", "what the kernel gives"},
		{shield.KeyHugePages, "huge pages of its memory nodes, 1Gi=2, 2Mi=64", none},
	}
}

// order is that of the built-in classes for people.
var order = []string{"fifo", "rr", "deadline", "batch"}

// Level is how strongly others are kept off a container's CPUs.
type Level struct{ Name, Where, How string }

// Levels lists them, strongest first.
func Levels() []Level {
	all := map[string]Level{
		shield.LevelPartition: {
			Where: "cgroup v2, Linux 6.7 and later",
			How: "the container's cgroup is a cpuset partition: the kernel lets no other task onto its CPUs. isolated for one CPU, root (load is balanced) for several " +
				"and for deadline",
		},
		shield.LevelCpuset: {
			Where: "cgroup v1, cgroup v2 before 6.7, partition: none, exec_cpus = \"housekeeping\"",
			How: "every other cpuset is shrunk, and tasks that are in none are moved; what they start meanwhile is followed. A container that plain runc starts " +
				"meanwhile is not noticed before the next run of rtshield",
		},
		shield.LevelAffinity: {
			Where: "[layout] level = \"affinity\", or no cpuset controller",
			How:   "tasks are moved away one by one, and nothing holds them there: new ones come with the next rtshield reconcile. Other cgroups are not touched",
		},
	}
	var levels []Level
	for _, name := range slices.Backward(shield.Levels) {
		level := all[name]
		level.Name = name
		levels = append(levels, level)
	}
	return levels
}

// Classes puts the options of classes beside each other: a row for each option, with its key first, and a column for each
// class, of which names are the heads. A class has no value for what its policy has no use for.
func Classes(classes map[string]shield.Class) (names []string, rows [][]string) {
	names = slices.SortedFunc(maps.Keys(classes), func(a, b string) int {
		if x, y := rank(a), rank(b); x != y {
			return x - y
		}
		return strings.Compare(a, b)
	})
	values := map[string]map[string]string{}
	for _, name := range names {
		for _, option := range config.Options(classes[name]) {
			if values[option.Key] == nil {
				values[option.Key] = map[string]string{}
			}
			values[option.Key][name] = option.String()
		}
	}
	for _, key := range config.Keys() {
		row := []string{key}
		for _, name := range names {
			row = append(row, values[key][name])
		}
		if strings.Join(row[1:], "") != "" {
			rows = append(rows, row)
		}
	}
	return names, rows
}

// rank puts the built-in classes first.
func rank(name string) int {
	if at := slices.Index(order, name); at >= 0 {
		return at
	}
	return len(order)
}
