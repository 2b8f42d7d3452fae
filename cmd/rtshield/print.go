package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/runtime"
	"github.com/rtshield/rtshield/spec"
)

func orNone(cpus shield.CPUs) string {
	if cpus.IsEmpty() {
		return "none"
	}
	return cpus.String()
}

// printStatus shows all of a state. What has changed since before, a state of the same host or nil, is stressed.
func printStatus(page terminal.Page, now, before *status.Status) {
	printGlance(page, now, before)
	printShared(page, now.Shared)
	for _, grant := range now.Grants {
		printThreads(page, grant)
	}
	printBandwidths(page, now.Bandwidth)
	for i, pod := range now.Pods {
		if i == 0 {
			fmt.Fprintln(page)
		}
		page.Say("", fmt.Sprintf("pod %s: CPU %s (%s)", pod.Name, pod.CPUs, strings.Join(pod.Containers, ", ")))
	}
	for _, grant := range now.Grants {
		if len(grant.HugePages) > 0 {
			fmt.Fprintln(page)
			page.Say("", fmt.Sprintf("huge pages of %s: %s", grant.Name, pageShares(grant.HugePages)))
		}
	}
	for _, grant := range now.Grants {
		printInterference(page, grant)
	}
	for _, grant := range now.Grants {
		if len(grant.Limits) == 0 {
			continue
		}
		fmt.Fprintf(page, "\nlimits of %s:\n", grant.Name)
		for _, limit := range grant.Limits {
			page.Say("  ", limit.String())
		}
	}
	if now.Stale > 0 {
		fmt.Fprintf(page, "\n%d container(s) ended without a release: rtshield reconcile cleans up now, else the next create\n", now.Stale)
	}
}

var sharedColumns = []terminal.Column{
	{Head: "CONTAINER", Shorten: terminal.Middle, Least: 12},
	{Head: "CLASS", Shorten: terminal.End, Least: 8, Spare: 1},
	{Head: "MAY RUN ON", Shorten: terminal.End, Least: 10},
	{Head: "POLICY", Shorten: terminal.End, Least: 8},
	{Head: "PID"},
	{Head: "STATE"},
	{Head: "BUDGET", Shorten: terminal.End, Least: 8},
}

// printShared tells of the containers that have a class and no CPUs of their own.
func printShared(page terminal.Page, all []status.Shared) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(page, "\nwithout CPUs of their own, among all others:")
	var rows [][]terminal.Cell
	for _, shared := range all {
		var row []terminal.Cell
		for _, text := range []string{
			shared.Name, shared.Class, shared.CPUs.String(), shared.Policy, strconv.Itoa(shared.PID), shared.State, budgetText(shared.Budget),
		} {
			row = append(row, terminal.Cell{Text: text})
		}
		rows = append(rows, row)
	}
	page.Table(sharedColumns, rows)
}

func budgetText(budget shield.Budget) string {
	if budget.Period == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d µs", budget.Runtime, budget.Period)
}

func printExplanation(page terminal.Page, e *runtime.Explanation) {
	if e.Shared != nil {
		page.Say("", fmt.Sprintf("no CPUs of its own: policy %s among all others on CPU %s, class %s",
			e.Shared.Grant(shield.Key{}, "").PolicyText(), e.Shared.CPUs, e.Shared.Class))
		if e.Shared.Budget.Period > 0 {
			page.Say("", fmt.Sprintf("real-time threads: %s of each CPU", budgetText(e.Shared.Budget)))
		}
		printSources(page, e.Why)
		printChanges(page, "config.json:", e.Config)
		return
	}
	if e.Grant == nil {
		if !e.Share.Limited() {
			page.Say("", fmt.Sprintf("an ordinary container: it asks for no class, and goes to %s unchanged, but for CPUs that others hold", e.Delegate))
			printSources(page, e.Why)
			return
		}
		page.Say("", fmt.Sprintf("an ordinary container with %s: it asks for no class, and goes to %s but for this unchanged, and for CPUs that others hold", e.Share, e.Delegate))
		printSources(page, e.Why)
		printChanges(page, "config.json:", e.Config)
		return
	}
	page.Say("", fmt.Sprintf("grant: CPU %s, memory node %s, policy %s, class %s, level %s, interrupts %s",
		e.Grant.CPUs, e.Grant.Mems, e.Grant.PolicyText(), e.Grant.Class, e.Grant.Level, e.Grant.IRQ))
	if !e.Grant.Idle.IsEmpty() {
		page.Say("", fmt.Sprintf("kept idle: CPU %s (siblings)", e.Grant.Idle))
	}
	for _, places := range e.Places {
		page.Say("", fmt.Sprintf("chosen: %s", places))
	}
	printParts(page, *e.Grant)
	if e.Grant.Share.Limited() {
		page.Say("", fmt.Sprintf("ordinary threads: %s", e.Grant.Share))
	}
	if e.Grant.RTBandwidth > 0 {
		page.Say("", fmt.Sprintf("real-time threads: %s of each of its CPUs", e.Grant.RTBandwidth))
	}
	if len(e.Grant.HugePages) > 0 {
		page.Say("", "huge pages: "+pageShares(e.Grant.HugePages))
	}
	if power := e.Grant.Power.String(); power != "" {
		page.Say("", "power: "+power)
	}
	printSources(page, e.Why)
	printChanges(page, "config.json:", e.Config)
	printChanges(page, "the host, while the container lives:", e.Host)
	for i, limit := range e.Grant.Limits {
		if i == 0 {
			fmt.Fprintln(page, "\nlimits of this host:")
		}
		page.Say("  ", limit.String())
	}
	fmt.Fprintln(page)
	page.Say("", fmt.Sprintf("then %s runs it. Nothing was changed.", e.Delegate))
}

// printSources says of each decision where it is from: behind its value, or below one that is long.
func printSources(page terminal.Page, sources []shield.Source) {
	const most = 24
	what, value := 0, 0
	for _, source := range sources {
		what = max(what, terminal.Columns(source.What))
		if n := terminal.Columns(source.Value); n <= most {
			value = max(value, n)
		}
	}
	for i, source := range sources {
		if i == 0 {
			fmt.Fprintln(page, "\nwhy:")
		}
		head := fmt.Sprintf("  %-*s  ", what, source.What)
		if terminal.Columns(source.Value) > most {
			page.Fill(head, source.Value)
			head, source.Value = strings.Repeat(" ", len(head)), ""
		}
		page.Fill(fmt.Sprintf("%s%-*s  ", head, value, source.Value), source.From)
	}
}

func pageShares(shares []shield.PageShare) string {
	texts := make([]string, len(shares))
	for i, share := range shares {
		texts[i] = share.String()
	}
	return strings.Join(texts, ", ")
}

func printChanges(page terminal.Page, title string, changes []spec.Change) {
	fmt.Fprintf(page, "\n%s\n", title)
	for _, change := range changes {
		page.Say("  ", fmt.Sprintf("%s: %s → %s", change.Path, change.From, change.To))
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
