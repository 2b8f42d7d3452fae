package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/demo/wake"
)

func headline(load string) string {
	var u unix.Utsname
	release := "unknown"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	cpus, _ := onlineCPUs()
	return fmt.Sprintf("linux %s, %d CPUs (%s), loaded with %s", release, cpus.Size(), cpus, load)
}

// print is the result: the table, one sentence about it, and the interrupts.
func (s *stage) print(w io.Writer) {
	rows := [][]string{{"how", "CPUs", "policy", "device interrupts", "p50 µs", "p99 µs", "p99.9 µs", "max µs"}}
	for _, way := range s.ways {
		r := merged(way)
		rows = append(rows, []string{way.name, r.CPUs, r.PolicyName(), s.interruptCell(way),
			micros(r, 0.5), micros(r, 0.99), micros(r, 0.999), micros(r, 1)})
	}
	printTable(w, rows, 3)
	fmt.Fprintln(w)
	fmt.Fprintln(w, "device interrupts: that came to these CPUs meanwhile; µs: how late the container was woken")
	fmt.Fprintln(w, s.sentence())
	fmt.Fprint(w, s.reached)
}

// printTable writes rows in columns; the first few are text and start at the left,
// the others are numbers.
func printTable(w io.Writer, rows [][]string, text int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			width := widths[i]
			if i < text {
				width = -width
			}
			fmt.Fprintf(&line, "%*s  ", width, cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func merged(w *way) wake.Report {
	var reports []wake.Report
	for _, r := range w.rounds {
		reports = append(reports, r.Report)
	}
	return wake.Merge(reports)
}

func micros(r wake.Report, p float64) string {
	return fmt.Sprintf("%.0f", float64(r.Percentile(p))/1000)
}

// arrived is how many interrupts came to the way's CPUs, and how many of them
// nobody can steer elsewhere.
func (s *stage) arrived(w *way) (all, fixed uint64) {
	for _, r := range w.rounds {
		for irq, n := range r.irqs {
			all += n
			if _, is := s.reached.fixed[irq]; is {
				fixed += n
			}
		}
	}
	return all, fixed
}

func (s *stage) interruptCell(w *way) string {
	all, fixed := s.arrived(w)
	if fixed == 0 {
		return fmt.Sprint(all)
	}
	return fmt.Sprintf("%d (%d fixed)", all, fixed)
}

// sentence says what was seen in this run, and nothing about any other.
func (s *stage) sentence() string {
	worst := func(w *way) string { return micros(merged(w), 1) }
	r := merged(s.shield)
	return fmt.Sprintf("The latest of about %d wake-ups each: %s %s µs, %s %s µs, %s %s µs.", len(r.Late),
		s.shield.name, worst(s.shield), s.ways[0].name, worst(s.ways[0]), s.pinned.name, worst(s.pinned))
}
