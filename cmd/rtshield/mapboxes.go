package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// mostInBoxes is up to how many CPUs each is drawn with its name.
const mostInBoxes = 32

// boxes draws a node's cores as boxes, so many in a row.
func (c chart) boxes(n node, head, width, most int) {
	name := n.name
	for cores := range slices.Chunk(n.cores, most) {
		line := func(left, between, right, fill string) string {
			boxes := make([]string, len(cores))
			for i := range boxes {
				boxes[i] = strings.Repeat(fill, width+2)
			}
			return left + strings.Join(boxes, between) + right
		}
		put := func(text string) { fmt.Fprintf(c.page, "%-*s%s\n", head, name, text); name = "" }
		put(c.page.Paint(terminal.Faint, line("┌", "┬", "┐", "─")))
		wall := c.page.Paint(terminal.Faint, "│")
		for thread := range threadsOf(cores) {
			var text strings.Builder
			for _, core := range cores {
				text.WriteString(wall + " " + c.inBox(core, thread, width) + " ")
			}
			put(text.String() + wall)
		}
		put(c.page.Paint(terminal.Faint, line("└", "┴", "┘", "─")))
	}
	c.offline(n, name, head)
}

// offline names the CPUs of a node that are; the kernel does not tell which cores they belong to.
func (c chart) offline(n node, name string, head int) {
	if len(n.offline) > 0 {
		c.page.Fill(fmt.Sprintf("%-*s", head, name), "offline: CPU "+numbers(n.offline).String())
	}
}

// threadsOf gives the most threads that a core has.
func threadsOf(cores [][]status.CPU) (most int) {
	for _, core := range cores {
		most = max(most, len(core))
	}
	return most
}

// inBox is a CPU's line in its core's box: number, mark and meaning.
func (c chart) inBox(core []status.CPU, thread, width int) string {
	if thread >= len(core) {
		return strings.Repeat(" ", width)
	}
	mark, meaning, style := c.mark(core[thread])
	number := fmt.Sprintf("%2d ", core[thread].CPU)
	left := width - len(number) - c.marks - 1
	if core[thread].Use == status.Idle && terminal.Columns(meaning) > left {
		meaning = "idle" // for whom says the mark
	}
	text := mark + " " + terminal.Middle(meaning, left)
	return number + c.page.Paint(style, text) + strings.Repeat(" ", width-len(number)-terminal.Columns(text))
}

// boxWidth is what the longest line in a box takes, and less, down to what "housekeeping" takes, where four boxes would not
// stand in a row.
func (c chart) boxWidth(cpus []status.CPU, largest, head int) int {
	const least = len("housekeeping")
	longest, beside := least, 3+c.marks+1
	for _, cpu := range cpus {
		if cpu.Use != status.Offline {
			_, meaning, _ := c.mark(cpu)
			longest = max(longest, terminal.Columns(meaning))
		}
	}
	return min(beside+longest, max(beside+least, (c.page.Width-head-1)/min(largest, 4)-3))
}
