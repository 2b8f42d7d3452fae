package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
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
func printThreads(w io.Writer, grant status.Grant) {
	switch {
	case !grant.Ordinary.IsEmpty():
		fmt.Fprintf(w, "\n%s, init and exec: ordinary on CPU %s; real-time part CPU %s\n", grant.Name, grant.Ordinary, grant.CPUs.Difference(grant.Ordinary.CPUSet))
	case !grant.ExecCPUs.IsEmpty():
		fmt.Fprintf(w, "\nexec into %s runs on CPU %s\n", grant.Name, grant.ExecCPUs)
	}
	if len(grant.Rules) == 0 {
		return
	}
	fmt.Fprintf(w, "\nthreads of %s, by %s:\n", grant.Name, strings.Join(grant.Rules, ", "))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, thread := range grant.Threads {
		wanted := ""
		if thread.Misplaced() {
			wanted = "should be " + thread.Want
		}
		fmt.Fprintf(table, "  %d\t%s\t%s\t%s\n", thread.TID, thread.Name, thread.Now, wanted)
	}
	table.Flush()
}
