package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// chart draws the CPUs of a host by NUMA node and core, a core's threads below each other. Each CPU has a mark: a capital
// letter for the container that has it, the same small one where it stays idle for that.
type chart struct {
	page   terminal.Page
	labels map[shield.Key]string
	hues   map[shield.Key]terminal.Style
	// marks is how wide a mark is.
	marks int
}

// node is a NUMA node as it is drawn.
type node struct {
	name    string
	cores   [][]status.CPU
	offline []status.CPU
}

// mostInBoxes is up to how many CPUs each is drawn with its name.
const mostInBoxes = 32

func newChart(page terminal.Page, grants []status.Grant) chart {
	c := chart{page: page, labels: map[shield.Key]string{}, hues: map[shield.Key]terminal.Style{}, marks: 1}
	for letters := 26; letters < len(grants); letters *= 26 {
		c.marks++
	}
	for i, grant := range grants {
		key := shield.Key{Root: grant.Root, ID: grant.ID}
		c.labels[key], c.hues[key] = label(i, c.marks), terminal.Hues[i%len(terminal.Hues)]
	}
	return c
}

// label gives the nth of A, B, … or AA, AB, ….
func label(n, letters int) string {
	text := make([]byte, letters)
	for i := range slices.Backward(text) {
		text[i], n = byte('A'+n%26), n/26
	}
	return string(text)
}

// draw prints the chart, and what its marks mean where they stand alone.
func (c chart) draw(cpus []status.CPU) {
	nodes := nodesOf(cpus)
	head, largest := 0, 1
	for _, n := range nodes {
		head, largest = max(head, len(n.name)+2), max(largest, len(n.cores))
	}
	if len(cpus) <= mostInBoxes {
		width := c.boxWidth(cpus, largest, head)
		most := evenly(largest, (c.page.Width-head-1)/(width+3))
		for _, n := range nodes {
			c.boxes(n, head, width, most)
		}
		return
	}
	c.lines(nodes, head, c.perRow(nodes, largest, head))
	c.legend(cpus)
}

// evenly gives how many of n stand in a row of at most so many, where all rows shall be of one length.
func evenly(n, most int) int {
	most = max(most, 1)
	rows := (n + most - 1) / most
	return (n + rows - 1) / rows
}

func nodesOf(cpus []status.CPU) []node {
	nodes, cores := map[int]*node{}, map[int]int{}
	for _, cpu := range cpus {
		n := nodes[cpu.Node]
		if n == nil {
			n = &node{name: fmt.Sprintf("node %d", cpu.Node)}
			if cpu.Node < 0 {
				n.name = "no node"
			}
			nodes[cpu.Node] = n
		}
		if cpu.Core < 0 {
			n.offline = append(n.offline, cpu)
			continue
		}
		at, known := cores[cpu.Core]
		if !known {
			at = len(n.cores)
			cores[cpu.Core], n.cores = at, append(n.cores, nil)
		}
		n.cores[at] = append(n.cores[at], cpu)
	}
	var list []node
	for _, number := range sortedNumbers(nodes) {
		list = append(list, *nodes[number])
	}
	return list
}

func sortedNumbers[V any](of map[int]V) []int {
	var list []int
	for number := range of {
		list = append(list, number)
	}
	slices.Sort(list)
	return list
}

func numbers(cpus []status.CPU) cpuset.CPUSet {
	list := make([]int, len(cpus))
	for i, cpu := range cpus {
		list[i] = cpu.CPU
	}
	return cpuset.New(list...)
}

// mark gives a CPU's mark, what it means, and how both are shown.
func (c chart) mark(cpu status.CPU) (mark, meaning string, style terminal.Style) {
	key, name := shield.Key{}, ""
	if cpu.Holder != nil {
		key, name = cpu.Holder.Key, cpu.Holder.Name
	}
	switch cpu.Use {
	case status.Housekeeping:
		return strings.Repeat("=", c.marks), "housekeeping", terminal.Faint
	case status.Free:
		return strings.Repeat("·", c.marks), "free", terminal.Good
	case status.Granted:
		return c.labels[key], name, c.hues[key].With(terminal.Bold)
	case status.Idle:
		return strings.ToLower(c.labels[key]), "idle for " + name, c.hues[key]
	}
	return strings.Repeat("-", c.marks), "offline", terminal.Bad
}

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

// boxWidth is what the longest line in a box takes, and less where four boxes would not stand in a row.
func (c chart) boxWidth(cpus []status.CPU, largest, head int) int {
	longest := 0
	for _, cpu := range cpus {
		if cpu.Use != status.Offline {
			_, meaning, _ := c.mark(cpu)
			longest = max(longest, terminal.Columns(meaning))
		}
	}
	return min(3+c.marks+1+longest, (c.page.Width-head-1)/min(largest, 4)-3)
}

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

// legend says what the marks mean that are there.
func (c chart) legend(cpus []status.CPU) {
	seen := map[status.Use]bool{}
	for _, cpu := range cpus {
		seen[cpu.Use] = true
	}
	first := label(0, c.marks)
	var words []string
	for _, use := range status.Uses {
		switch {
		case !seen[use] || use == status.Offline:
		case use == status.Granted:
			words = append(words, fmt.Sprintf("%s granted (%s in the table)", first, first))
		case use == status.Idle:
			words = append(words, fmt.Sprintf("%s idle, for %s", strings.ToLower(first), first))
		default:
			mark, meaning, style := c.mark(status.CPU{Use: use})
			words = append(words, c.page.Paint(style, mark)+" "+meaning)
		}
	}
	fmt.Fprintf(c.page, "\n%s\n", strings.Join(words, "   "))
}
