package main

import (
	"fmt"
	"io"
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

func printExplanation(w io.Writer, e *runtime.Explanation) {
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
