package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// reach is which device interrupts could be delivered to some CPUs at one moment.
type reach struct {
	total   int
	fixed   map[int]string // irq -> device; may, and the kernel lets nobody change it
	movable map[int]string // irq -> device; may, although the file takes other CPUs
	marked  bool           // this kernel shows in the file's mode which are fixed
}

func reaching(cpus cpuset.CPUSet) (reach, error) { return reachingAt("/proc/irq", cpus) }

func reachingAt(dir string, cpus cpuset.CPUSet) (reach, error) {
	r := reach{fixed: map[int]string{}, movable: map[int]string{}}
	files, err := filepath.Glob(dir + "/*/smp_affinity_list")
	if err != nil {
		return r, err
	}
	for _, file := range files {
		irq, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // a device that went away
		}
		allowed, err := cpuset.Parse(strings.TrimSpace(string(raw)))
		if err != nil {
			return r, fmt.Errorf("%s: %w", file, err)
		}
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		// 0444 marks an affinity that the kernel manages itself. Kernels before
		// 6.12 show 0644 for all, and refuse when one writes.
		fixed := info.Mode().Perm()&0o200 == 0
		r.total++
		r.marked = r.marked || fixed
		switch {
		case allowed.Intersection(cpus).IsEmpty():
		case fixed:
			r.fixed[irq] = device(filepath.Dir(file))
		default:
			r.movable[irq] = device(filepath.Dir(file))
		}
	}
	return r, nil
}

// device names the interrupt: each handler has a directory below /proc/irq/N.
func device(dir string) string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, ",")
}

// String says it in full sentences, for the shielded CPU.
func (r reach) String() string {
	var b strings.Builder
	away := r.total - len(r.fixed) - len(r.movable)
	fmt.Fprintf(&b, "While rtshield's container ran, %d of %d device interrupts could not reach its CPU.\n", away, r.total)
	if len(r.fixed) > 0 {
		fmt.Fprintf(&b, "Fixed, the kernel lets nobody move them: %s\n", list(r.fixed))
	}
	if len(r.movable) > 0 {
		why := "an older kernel does not show which are fixed, `rtshield status` does"
		if r.marked {
			why = "this should not be"
		}
		fmt.Fprintf(&b, "Still able to reach it (%s): %s\n", why, list(r.movable))
	}
	return b.String()
}

// list is a few names; an NVMe disk alone may have a hundred queues.
func list(irqs map[int]string) string {
	const most = 4
	var names []string
	for i, irq := range slices.Sorted(maps.Keys(irqs)) {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(irqs)-most))
			break
		}
		names = append(names, fmt.Sprintf("%d (%s)", irq, irqs[irq]))
	}
	return strings.Join(names, ", ")
}
