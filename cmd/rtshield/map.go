package main

import (
	"fmt"
	"maps"
	"slices"
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
	for _, number := range slices.Sorted(maps.Keys(nodes)) {
		list = append(list, *nodes[number])
	}
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
