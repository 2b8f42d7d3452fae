package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/runtime"
	"github.com/rtshield/rtshield/spec"
)

func orNone(cpus shield.CPUs) string {
	if cpus.IsEmpty() {
		return "none"
	}
	return cpus.String()
}

func printStatus(w io.Writer, now *status.Status) {
	fmt.Fprintf(w, "housekeeping  CPU %s\n", now.Layout.Housekeeping)
	fmt.Fprintf(w, "shield        CPU %s (%s)\n", orNone(now.Layout.Pool), now.Layout.Source)
	fmt.Fprintf(w, "free          CPU %s\n", orNone(now.Free))
	for _, cgroup := range now.Lost {
		fmt.Fprintf(w, "\nthe ledger was deleted while a container ran: cgroup %s; until it is deleted, nobody is granted CPUs\n", cgroup)
	}
	if len(now.Grants) == 0 {
		if len(now.Lost) == 0 {
			fmt.Fprintln(w, "\nno container holds a CPU")
		}
		printShared(w, now.Shared)
		printBandwidths(w, now.Bandwidth)
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CONTAINER\tCLASS\tCPUS\tPOLICY\tLEVEL\tPID\tSTATE\tLIMITS")
	for _, grant := range now.Grants {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\n",
			grant.Name, grant.Class, grant.CPUs, grant.Policy, grant.Level, grant.PID, grant.State, len(grant.Limits))
	}
	table.Flush()
	printShared(w, now.Shared)
	for _, grant := range now.Grants {
		printThreads(w, grant)
	}
	printBandwidths(w, now.Bandwidth)
	for i, pod := range now.Pods {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "pod %s: CPU %s (%s)\n", pod.Name, pod.CPUs, strings.Join(pod.Containers, ", "))
	}
	for _, grant := range now.Grants {
		if len(grant.HugePages) > 0 {
			fmt.Fprintf(w, "\nhuge pages of %s: %s\n", grant.Name, pageShares(grant.HugePages))
		}
	}
	for _, grant := range now.Grants {
		printInterference(w, grant)
	}
	for _, grant := range now.Grants {
		if len(grant.Limits) == 0 {
			continue
		}
		fmt.Fprintf(w, "\nlimits of %s:\n", grant.Name)
		for _, limit := range grant.Limits {
			fmt.Fprintf(w, "  %s\n", limit)
		}
	}
	if now.Stale > 0 {
		fmt.Fprintf(w, "\n%d container(s) ended without a release: rtshield reconcile cleans up now, else the next create\n", now.Stale)
	}
}

// printShared tells of the containers that have a class and no CPUs of their own.
func printShared(w io.Writer, all []status.Shared) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "\nwithout CPUs of their own, among all others:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CONTAINER\tCLASS\tMAY RUN ON\tPOLICY\tPID\tSTATE\tBUDGET")
	for _, shared := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", shared.Name, shared.Class, shared.CPUs, shared.Policy, shared.PID, shared.State, budgetText(shared.Budget))
	}
	table.Flush()
}

func budgetText(budget shield.Budget) string {
	if budget.Period == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d µs", budget.Runtime, budget.Period)
}

func printExplanation(w io.Writer, e *runtime.Explanation) {
	if e.Shared != nil {
		fmt.Fprintf(w, "no CPUs of its own: policy %s among all others on CPU %s, class %s\n",
			e.Shared.Grant(shield.Key{}, "").PolicyText(), e.Shared.CPUs, e.Shared.Class)
		if e.Shared.Budget.Period > 0 {
			fmt.Fprintf(w, "real-time threads: %s of each CPU\n", budgetText(e.Shared.Budget))
		}
		printChanges(w, "config.json:", e.Config)
		return
	}
	if e.Grant == nil {
		if !e.Share.Limited() {
			fmt.Fprintf(w, "an ordinary container: it asks for no class, and goes to %s unchanged, but for CPUs that others hold\n", e.Delegate)
			return
		}
		fmt.Fprintf(w, "an ordinary container with %s: it asks for no class, and goes to %s but for this unchanged, and for CPUs that others hold\n", e.Share, e.Delegate)
		printChanges(w, "config.json:", e.Config)
		return
	}
	fmt.Fprintf(w, "grant: CPU %s, memory node %s, policy %s, class %s, level %s, interrupts %s\n",
		e.Grant.CPUs, e.Grant.Mems, e.Grant.PolicyText(), e.Grant.Class, e.Grant.Level, e.Grant.IRQ)
	if !e.Grant.Idle.IsEmpty() {
		fmt.Fprintf(w, "kept idle: CPU %s (siblings)\n", e.Grant.Idle)
	}
	for _, places := range e.Places {
		fmt.Fprintf(w, "chosen: %s\n", places)
	}
	printParts(w, *e.Grant)
	if e.Grant.Share.Limited() {
		fmt.Fprintf(w, "ordinary threads: %s\n", e.Grant.Share)
	}
	if e.Grant.RTBandwidth > 0 {
		fmt.Fprintf(w, "real-time threads: %s of each of its CPUs\n", e.Grant.RTBandwidth)
	}
	if len(e.Grant.HugePages) > 0 {
		fmt.Fprintf(w, "huge pages: %s\n", pageShares(e.Grant.HugePages))
	}
	if power := e.Grant.Power.String(); power != "" {
		fmt.Fprintf(w, "power: %s\n", power)
	}
	printChanges(w, "config.json:", e.Config)
	printChanges(w, "the host, while the container lives:", e.Host)
	for i, limit := range e.Grant.Limits {
		if i == 0 {
			fmt.Fprintln(w, "\nlimits of this host:")
		}
		fmt.Fprintf(w, "  %s\n", limit)
	}
	fmt.Fprintf(w, "\nthen %s runs it. Nothing was changed.\n", e.Delegate)
}

func pageShares(shares []shield.PageShare) string {
	texts := make([]string, len(shares))
	for i, share := range shares {
		texts[i] = share.String()
	}
	return strings.Join(texts, ", ")
}

func printChanges(w io.Writer, title string, changes []spec.Change) {
	fmt.Fprintf(w, "\n%s\n", title)
	for _, change := range changes {
		fmt.Fprintf(w, "  %s: %s → %s\n", change.Path, change.From, change.To)
	}
}

const nothingToDo = "nothing to do"

func printReport(w io.Writer, report reconcile.Report, live int) {
	for _, name := range report.Dropped {
		fmt.Fprintf(w, "released %s: it ended without a release\n", name)
	}
	for _, setting := range report.Changed {
		fmt.Fprintf(w, "%s: %s → %s\n", reconcile.KnobPath(setting.Knob), setting.Was, setting.Now)
	}
	for _, refused := range report.Refused {
		if refused.Fixed != "" {
			continue // rtshield status names what cannot be had
		}
		fmt.Fprintf(w, "%s stays %s: %s\n", reconcile.KnobPath(refused.Knob), refused.Now, strings.TrimSpace(reconcile.Reason(refused.Err)))
	}
	if len(report.Dropped)+len(report.Changed) == 0 {
		fmt.Fprintf(w, nothingToDo+": the host is as %d live container(s) need it\n", live)
	}
}
