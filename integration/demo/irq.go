package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// interrupts counts device interrupts: irq number -> cpu -> how many so far.
type interrupts map[int]map[int]uint64

// readInterrupts takes the rows of /proc/interrupts with a number. The others (LOC,
// TLB, …) are the CPUs' own; no affinity moves them.
func readInterrupts() (interrupts, error) {
	raw, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return nil, err
	}
	return parseInterrupts(string(raw))
}

func parseInterrupts(text string) (interrupts, error) {
	header, rows, _ := strings.Cut(text, "\n")
	var cpus []int // an offline CPU has no column
	for _, column := range strings.Fields(header) {
		cpu, err := strconv.Atoi(strings.TrimPrefix(column, "CPU"))
		if err != nil {
			return nil, fmt.Errorf("/proc/interrupts: column %q: %w", column, err)
		}
		cpus = append(cpus, cpu)
	}
	counts := interrupts{}
	for row := range strings.Lines(rows) {
		name, rest, _ := strings.Cut(row, ":")
		irq, err := strconv.Atoi(strings.TrimSpace(name))
		if err != nil {
			continue
		}
		counts[irq] = map[int]uint64{}
		fields := strings.Fields(rest)
		for i, cpu := range cpus {
			if i >= len(fields) {
				break
			}
			if counts[irq][cpu], err = strconv.ParseUint(fields[i], 10, 64); err != nil {
				return nil, fmt.Errorf("/proc/interrupts: row %d: %w", irq, err)
			}
		}
	}
	return counts, nil
}

// since is how many of each interrupt arrived on cpus after before.
func (now interrupts) since(before interrupts, cpus cpuset.CPUSet) map[int]uint64 {
	arrived := map[int]uint64{}
	for irq, counts := range now {
		for cpu, n := range counts {
			if cpus.Contains(cpu) && n > before[irq][cpu] {
				arrived[irq] += n - before[irq][cpu]
			}
		}
	}
	return arrived
}
