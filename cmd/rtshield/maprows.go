package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// Marks stand in groups of four.
const group = 4

// perRow is how many cores stand in a row, so that all rows fit: as many as can, or some less that divide a node evenly.
func (c chart) perRow(nodes []node, largest, head int) int {
	most := group
	for per := 32 * group; per > group; per -= group {
		cores := min(per, largest)
		if head+c.listWidth(nodes, per)+2+cores*(c.marks+1)+(cores-1)/group-1 <= c.page.Width {
			most = per
			break
		}
	}
	if largest <= most {
		return most
	}
	for per := most; 3*per >= 2*most; per -= group {
		if largest%per == 0 {
			return per
		}
	}
	return (evenly(largest, most) + group - 1) / group * group
}

// listWidth is how wide the lists before the rows are.
func (c chart) listWidth(nodes []node, per int) (width int) {
	for _, n := range nodes {
		for cores := range slices.Chunk(n.cores, per) {
			for thread := range threadsOf(cores) {
				width = max(width, terminal.Columns(numbered(threads(cores, thread))))
			}
		}
	}
	return width
}

// threads gives the nth of each core that has as many.
func threads(cores [][]status.CPU, nth int) (cpus []status.CPU) {
	for _, core := range cores {
		if nth < len(core) {
			cpus = append(cpus, core[nth])
		}
	}
	return cpus
}

// lines draws each thread of some cores as a line of marks, below the others of these cores.
func (c chart) lines(nodes []node, head, per int) {
	list := c.listWidth(nodes, per)
	lone := !slices.ContainsFunc(nodes, func(n node) bool { return len(n.cores) > per || threadsOf(n.cores) > 1 || len(n.offline) > 0 })
	for i, n := range nodes {
		name := n.name
		for cores := range slices.Chunk(n.cores, per) {
			if next := name != ""; next && i > 0 && !lone || !next && threadsOf(cores) > 1 {
				fmt.Fprintln(c.page)
			}
			for thread := range threadsOf(cores) {
				cpus := numbered(threads(cores, thread))
				fmt.Fprintf(c.page, "%-*s%s%s  %s\n", head, name, strings.Repeat(" ", list-terminal.Columns(cpus)),
					c.page.Paint(terminal.Faint, cpus), c.marksOf(cores, thread))
				name = ""
			}
		}
		c.offline(n, name, head)
	}
}

func (c chart) marksOf(cores [][]status.CPU, thread int) string {
	var marks strings.Builder
	pending := 0 // blanks that only count if something follows
	for i, core := range cores {
		switch {
		case i%group > 0:
			pending++
		case i > 0:
			pending += 2
		}
		if thread >= len(core) {
			pending += c.marks
			continue
		}
		mark, _, style := c.mark(core[thread])
		marks.WriteString(strings.Repeat(" ", pending) + c.page.Paint(style, mark))
		pending = 0
	}
	return marks.String()
}

// numbered lists CPUs briefly, in the order in which they stand.
func numbered(cpus []status.CPU) string {
	list := numbers(cpus).String()
	const most = 24
	if len(list) <= most {
		return list
	}
	step := cpus[1].CPU - cpus[0].CPU
	for i := range cpus[1:] {
		if cpus[i+1].CPU-cpus[i].CPU != step {
			return strconv.Itoa(cpus[0].CPU) + "…" + strconv.Itoa(cpus[len(cpus)-1].CPU)
		}
	}
	return fmt.Sprintf("%d,%d…%d", cpus[0].CPU, cpus[1].CPU, cpus[len(cpus)-1].CPU)
}
