package main

import (
	"fmt"
	"io"

	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/status"
)

// printBandwidths says what containers may have of CPU time, and what they got.
func printBandwidths(w io.Writer, all []status.Bandwidth) {
	for _, one := range all {
		if one.Asked != "" {
			fmt.Fprintf(w, "\nbandwidth of %s: %s%s\n", one.Name, one.Share, instead(one))
		} else {
			fmt.Fprintf(w, "\nbandwidth of %s:\n", one.Name)
		}
		if one.RealTime != "" {
			fmt.Fprintf(w, "  real-time threads: %s of each of its CPUs, by %s\n", one.RealTime, one.By)
		}
		fmt.Fprintf(w, "  since it was created, %s ago: %s\n", seconds(one.Life.Seconds), got(one.Life))
		if one.Last != nil {
			fmt.Fprintf(w, "  in the last %s: %s\n", seconds(one.Last.Seconds), got(*one.Last))
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
