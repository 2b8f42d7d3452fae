package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// printGlance shows who has what: the map of the CPUs, how they are split, and a line for each grant. What has changed since
// before, a status of the same host or nil, is stressed.
func printGlance(page terminal.Page, now, before *status.Status) {
	chart := newChart(page, now.Grants)
	for _, line := range terminal.Break(headline(now), page.Width) {
		fmt.Fprintln(page, page.Paint(terminal.Bold, line))
	}
	fmt.Fprintln(page)
	chart.draw(now.CPUs)
	fmt.Fprintln(page)
	page.Fill("housekeeping  CPU ", now.Layout.Housekeeping.String())
	page.Fill("shield        CPU ", fmt.Sprintf("%s (%s)", orNone(now.Layout.Pool), now.Layout.Source))
	page.Fill("free          CPU ", orNone(now.Free))
	for _, cgroup := range now.Lost {
		fmt.Fprintln(page)
		page.Say("", fmt.Sprintf("the ledger was deleted while a container ran: cgroup %s; until it is deleted, nobody is granted CPUs", cgroup))
	}
	if len(now.Grants) == 0 {
		if len(now.Lost) == 0 {
			fmt.Fprintln(page, "\nno container holds a CPU")
		}
		return
	}
	fmt.Fprintln(page)
	printGrants(chart, now, before)
}

// headline counts what there is.
func headline(now *status.Status) string {
	cores, nodes, uses := map[int]bool{}, map[int]bool{}, map[status.Use]int{}
	for _, cpu := range now.CPUs {
		uses[cpu.Use]++
		if cpu.Use != status.Offline {
			cores[cpu.Core], nodes[cpu.Node] = true, true
		}
	}
	text := fmt.Sprintf("Linux %s: %s on %s", now.Kernel, count(len(now.CPUs)-uses[status.Offline], "CPU"), count(len(cores), "core"))
	if len(nodes) > 1 {
		text += " of " + count(len(nodes), "NUMA node")
	}
	if n := uses[status.Offline]; n > 0 {
		text += fmt.Sprintf(", %d offline", n)
	}
	if n := len(now.Grants); n > 0 {
		text += fmt.Sprintf("; %s granted to %s", count(uses[status.Granted], "CPU"), count(n, "container"))
	}
	return text + fmt.Sprintf(", %d free", now.Free.Size())
}

func count(n int, what string) string { return many(uint64(n), what) }

var grantColumns = []terminal.Column{
	{Head: ""},
	{Head: "CONTAINER", Shorten: terminal.Middle, Least: 12},
	{Head: "CLASS", Shorten: terminal.End, Least: 8, Spare: 2},
	{Head: "CPUS", Shorten: terminal.End, Least: 8},
	{Head: "POLICY", Shorten: terminal.End, Least: 8},
	{Head: "LEVEL", Spare: 1},
	{Head: "AGE", Right: true},
	{Head: "IRQS", Right: true},
	{Head: "TICKS", Right: true, Spare: 6},
	{Head: "IPIS", Right: true, Spare: 5},
	{Head: "FOREIGN", Right: true, Spare: 3},
	{Head: "LIMITS", Right: true, Spare: 4},
	{Head: "PID", Right: true, Spare: 7},
}

// printGrants has a line for each grant, with the letter that it has on the map.
func printGrants(chart chart, now, before *status.Status) {
	earlier := map[shield.Key]status.Grant{}
	if before != nil {
		for _, grant := range before.Grants {
			earlier[shield.Key{Root: grant.Root, ID: grant.ID}] = grant
		}
	}
	var rows [][]terminal.Cell
	for _, grant := range now.Grants {
		key := shield.Key{Root: grant.Root, ID: grant.ID}
		row := grantRow(chart, key, grant)
		if was, known := earlier[key]; known {
			for i, cell := range grantRow(chart, key, was) {
				if cell.Text != row[i].Text && grantColumns[i].Head != "AGE" {
					row[i].Style = row[i].Style.With(terminal.Warn)
				}
			}
		}
		rows = append(rows, row)
	}
	chart.page.Table(grantColumns, rows)
}

func grantRow(chart chart, key shield.Key, grant status.Grant) []terminal.Cell {
	limits := terminal.Plain
	for _, limit := range grant.Limits {
		if limit.Drift {
			limits = terminal.Bad
		}
	}
	irqs, ticks, ipis, foreign := "", "", "", ""
	if delta := grant.Interference; delta != nil {
		sum := delta.Sum()
		irqs, ticks, ipis = brief(sum.IRQs), brief(sum.Ticks), brief(sum.IPIs)
		switch {
		case delta.ForeignNS != nil:
			foreign = briefTime(time.Duration(*delta.ForeignNS))
		case delta.ForeignTurnsAtMost != nil:
			foreign = "≤ " + brief(*delta.ForeignTurnsAtMost) + "×"
		}
	}
	age, style := ageOf(grant)
	return []terminal.Cell{
		{Text: chart.labels[key], Style: chart.hues[key].With(terminal.Bold)}, {Text: grant.Name, Style: chart.hues[key]}, {Text: grant.Class},
		{Text: grant.CPUs.String()}, {Text: grant.Policy}, {Text: grant.Level}, {Text: age, Style: style},
		{Text: irqs}, {Text: ticks}, {Text: ipis}, {Text: foreign}, {Text: strconv.Itoa(len(grant.Limits)), Style: limits}, {Text: strconv.Itoa(grant.PID)},
	}
}

// ageOf says how long a container has had its CPUs, or that it is no ordinary life that it leads.
func ageOf(grant status.Grant) (string, terminal.Style) {
	created, err := time.Parse(time.RFC3339, grant.Created)
	switch {
	case grant.State == "stale":
		return grant.State, terminal.Bad
	case grant.State != "bound":
		return grant.State, terminal.Warn
	case err != nil:
		return "", terminal.Plain
	}
	return briefTime(max(0, time.Since(created).Truncate(time.Second))), terminal.Plain
}

// brief writes a count in at most five letters.
func brief(n uint64) string {
	value, unit := float64(n), 0
	for value >= 999.5 && unit < 6 {
		value, unit = value/1000, unit+1
	}
	if unit == 0 {
		return strconv.FormatUint(n, 10)
	}
	return digits(value) + string("kMGTPE"[unit-1])
}

// digits writes a number below 1000 with at most three digits.
func digits(value float64) string {
	switch {
	case value < 9.95:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.0f", value)
	}
}

// briefTime writes a time in its largest unit.
func briefTime(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return digits(float64(d)/float64(time.Microsecond)) + "µs"
	case d < time.Second:
		return digits(float64(d)/float64(time.Millisecond)) + "ms"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Truncate(time.Minute).Minutes())
	case d < 2*day:
		return fmt.Sprintf("%.0fh", d.Truncate(time.Hour).Hours())
	}
	return fmt.Sprintf("%dd", d/day)
}
