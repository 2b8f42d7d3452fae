package main

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal"
)

// printBandwidths says what containers may have of CPU time, and what they got.
func printBandwidths(page terminal.Page, all []status.Bandwidth) {
	for _, one := range all {
		if one.Asked != "" {
			fmt.Fprintln(page)
			page.Say("", fmt.Sprintf("bandwidth of %s: %s%s", one.Name, one.Share, instead(one)))
		} else {
			fmt.Fprintf(page, "\nbandwidth of %s:\n", one.Name)
		}
		if one.RealTime != "" {
			page.Say("  ", fmt.Sprintf("real-time threads: %s of each of its CPUs, by %s", one.RealTime, one.By))
		}
		page.Say("  ", fmt.Sprintf("since it was created, %s ago: %s", seconds(one.Life.Seconds), got(one.Life)))
		if one.Last != nil {
			page.Say("  ", fmt.Sprintf("in the last %s: %s", seconds(one.Last.Seconds), got(*one.Last)))
		}
	}
}

// instead says what was asked for, where something else holds.
func instead(one status.Bandwidth) string {
	if !one.Changed {
		return ""
	}
	return "; it asked for " + one.Asked + ", and somebody has changed that since"
}

func got(usage bandwidth.Usage) string {
	text := fmt.Sprintf("%.1f%% of a CPU", usage.Percent)
	if usage.Periods > 0 {
		text += fmt.Sprintf(", throttled in %d of %d periods for %s", usage.Throttled, usage.Periods, seconds(usage.ThrottledSeconds))
	}
	return text
}
