package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// printParts tells which CPUs of a grant are for what, and its rules for threads.
func printParts(w io.Writer, grant shield.Grant) {
	whose := " (housekeeping)"
	if grant.ExecCPUs.IsSubsetOf(grant.CPUs.CPUSet) {
		whose = ""
	}
	switch {
	case grant.Mask != "":
		fmt.Fprintf(w, "real-time part: CPU %s\n", grant.RealTimePart())
		fmt.Fprintf(w, "ordinary part: CPU %s%s, for init, exec and threads without a rule\n", grant.Ordinary, whose)
	case !grant.ExecCPUs.IsEmpty():
		fmt.Fprintf(w, "exec runs on: CPU %s%s\n", grant.ExecCPUs, whose)
	}
	for _, rule := range grant.Threads {
		fmt.Fprintf(w, "threads %s: %s\n", rule.Name, grant.Ruled(rule))
	}
}

// printThreads tells of a container that lives where exec runs, and which threads are where.
func printThreads(page terminal.Page, grant status.Grant) {
	switch {
	case !grant.Ordinary.IsEmpty():
		fmt.Fprintln(page)
		page.Say("", fmt.Sprintf("%s, init and exec: ordinary on CPU %s; real-time part CPU %s", grant.Name, grant.Ordinary, grant.CPUs.Difference(grant.Ordinary.CPUSet)))
	case !grant.ExecCPUs.IsEmpty():
		fmt.Fprintf(page, "\nexec into %s runs on CPU %s\n", grant.Name, grant.ExecCPUs)
	}
	if len(grant.Rules) == 0 {
		return
	}
	fmt.Fprintln(page)
	page.Say("", fmt.Sprintf("threads of %s, by %s:", grant.Name, strings.Join(grant.Rules, ", ")))
	var rows [][]terminal.Cell
	for _, thread := range grant.Threads {
		wanted := ""
		if thread.Misplaced() {
			wanted = "should be " + thread.Want
		}
		rows = append(rows, []terminal.Cell{{Text: fmt.Sprintf("  %d", thread.TID)}, {Text: thread.Name}, {Text: thread.Now}, {Text: wanted, Style: terminal.Bad}})
	}
	page.Table(make([]terminal.Column, 4), rows)
}
