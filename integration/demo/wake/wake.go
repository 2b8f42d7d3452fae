// Package wake is what the demo's probe tells its runner: how late the kernel
// woke it, and under which conditions.
package wake

import (
	"fmt"
	"slices"
)

// Report is one run of the probe. It prints two, each as a line of JSON: when it is
// set up, without samples, and at the end. After the first it waits for a line on
// its standard input, so that the runner can look at the host in between.
type Report struct {
	CPUs     string            `json:"cpus"`     // Cpus_allowed_list, as the kernel says
	Policy   uint32            `json:"policy"`   // of sched_getattr(2)
	Priority uint32            `json:"priority"` // 1-99 under FIFO and RR
	Late     []int64           `json:"late_ns"`  // wake-up minus planned time, sorted
	Skipped  int               `json:"skipped"`  // wake-ups whose time had passed meanwhile
	Env      map[string]string `json:"env"`      // RTSHIELD_*
}

// Fifo is SCHED_FIFO, as in sched(7).
const Fifo = 1

var policies = map[uint32]string{0: "OTHER", Fifo: "FIFO", 2: "RR", 3: "BATCH", 5: "IDLE", 6: "DEADLINE"}

// PolicyName is "FIFO 50", or "OTHER" for a policy without a priority.
func (r Report) PolicyName() string {
	name, known := policies[r.Policy]
	if !known {
		name = fmt.Sprintf("policy %d", r.Policy)
	}
	if r.Priority > 0 {
		return fmt.Sprintf("%s %d", name, r.Priority)
	}
	return name
}

// Merge puts several runs under the same conditions together. Percentiles are
// taken of all samples: the mean of percentiles is none.
func Merge(rounds []Report) Report {
	if len(rounds) == 0 {
		return Report{}
	}
	all := rounds[0]
	all.Late, all.Skipped = nil, 0
	for _, r := range rounds {
		all.Late = append(all.Late, r.Late...)
		all.Skipped += r.Skipped
	}
	slices.Sort(all.Late)
	return all
}

// Percentile is the smallest sample that at least p of all samples do not exceed
// (nearest rank), in ns; p is 0 to 1. Late has to be sorted.
func (r Report) Percentile(p float64) int64 {
	n := len(r.Late)
	if n == 0 {
		return 0
	}
	rank := int(p*float64(n) + 0.999999999) // ceil, but 0.999*1000 is 999.0000000000001
	return r.Late[min(max(rank, 1), n)-1]
}
