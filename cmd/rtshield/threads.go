package main

import (
	"fmt"
	"io"

	"github.com/rtshield/rtshield/internal/shield"
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
