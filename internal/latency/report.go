// Package latency measures what a shield is worth on this host: how late cyclictest is woken in a container of plain runc,
// in one with a cpuset, and in one of rtshield's, in turns, while everything else is under load.
package latency

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rtshield/rtshield/internal/shield"
)

// Report is what was measured, and under which conditions. Its JSON form is a public interface. Times are in µs.
type Report struct {
	Rtshield   string    `json:"rtshield"`
	Started    time.Time `json:"started"`
	Host       Host      `json:"host"`
	Delegate   string    `json:"delegate"`
	Cyclictest string    `json:"cyclictest"`
	Load       string    `json:"load"`
	// Interval is between two wake-ups. Each way was measured Rounds times for Seconds.
	Interval int64 `json:"interval_us"`
	Rounds   int   `json:"rounds"`
	Seconds  int64 `json:"seconds"`
	// Held: /dev/cpu_dma_latency was held at 0 µs, so that no CPU slept.
	Held bool `json:"cpu_dma_latency_held"`
	// Interrupted: it was ended before its time.
	Interrupted bool  `json:"interrupted,omitempty"`
	Ways        []Way `json:"ways"`
	// Limit is that of --max; 0 for none.
	Limit int64 `json:"limit_us,omitempty"`
	// Cause is what rtla timerlat says of a late wake-up on the shielded CPU, or why it says nothing.
	Cause []string `json:"cause,omitempty"`
}

// Way is one way to run the container.
type Way struct {
	Name string `json:"name"`
	// CPUs and Policy are those of the thread that was woken, as the kernel says.
	CPUs   shield.CPUs `json:"cpus"`
	Policy string      `json:"policy"`
	// Level is how strong the shield was. Empty for plain runc.
	Level       string            `json:"level,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Samples     uint64            `json:"samples"`
	// Percentiles are those that so many samples have.
	Percentiles map[string]int `json:"percentiles_us"`
	Max         int            `json:"max_us"`
	// Later were later than the histogram goes.
	Later     uint64    `json:"later,omitempty"`
	Histogram Histogram `json:"histogram"`
}

// Percentiles are those of the table.
var Percentiles = []float64{50, 99, 99.9, 99.99}

// PercentileName is p99.9 for 99.9.
func PercentileName(p float64) string { return fmt.Sprintf("p%v", p) }

// add puts a round in.
func (w *Way) add(round Histogram) {
	h := &w.Histogram
	h.Add(round)
	w.Samples, w.Max, w.Later = h.Samples(), h.Max, h.Later
	w.Percentiles = map[string]int{}
	for _, p := range Percentiles {
		if us, known := h.Percentile(p); known {
			w.Percentiles[PercentileName(p)] = us
		}
	}
}

// Read reads a report from its JSON.
func Read(data []byte) (*Report, error) {
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("not a report of rtshield latency: %w", err)
	}
	if len(report.Ways) == 0 {
		return nil, fmt.Errorf("not a report of rtshield latency: it has no ways")
	}
	for i := range report.Ways {
		way := &report.Ways[i]
		way.Histogram.Max, way.Histogram.Later = way.Max, way.Later
	}
	return &report, nil
}

// Shielded is rtshield's way, the last; Plain is runc's, the first.
func (r *Report) Shielded() *Way { return &r.Ways[len(r.Ways)-1] }

// Plain is runc's way.
func (r *Report) Plain() *Way { return &r.Ways[0] }

// Conditions are two lines that belong to every table and picture.
func (r *Report) Conditions() [2]string {
	sleep := "CPUs may sleep (" + r.Host.Idle + "; cpu_dma_latency not held)"
	switch {
	case r.Held:
		sleep = "no CPU sleeps (cpu_dma_latency held at 0 µs)"
	case r.Host.Idle == "":
		sleep = "cpu_dma_latency not held"
	}
	times := fmt.Sprintf("each way %d times %v, in turns", r.Rounds, time.Duration(r.Seconds)*time.Second)
	if r.Interrupted {
		times = "interrupted before it was " + times
	}
	return [2]string{
		fmt.Sprintf("%s; load: %s", r.Host, r.Load),
		fmt.Sprintf("cyclictest %s wakes up every %v; %s; %s", r.Cyclictest, time.Duration(r.Interval)*time.Microsecond, times, sleep),
	}
}

// Compared says in a sentence how rtshield's p99.9 stands to that of runc. Empty where there are too few samples.
func (r *Report) Compared() string {
	name := PercentileName(99.9)
	plain, known := r.Plain().Percentiles[name]
	shielded, both := r.Shielded().Percentiles[name]
	if !known || !both {
		return ""
	}
	text := fmt.Sprintf("%s of %s is %d µs, that of %s %d µs: ", name, r.Shielded().Name, shielded, r.Plain().Name, plain)
	switch ratio := float64(plain) / float64(max(shielded, 1)); {
	case ratio >= 1.05:
		return text + fmt.Sprintf("%.1f times better", ratio)
	case ratio <= 0.95:
		return text + fmt.Sprintf("%.1f times worse", 1/ratio)
	}
	return text + "no difference"
}

// Verdict says of a report with a limit whether rtshield has kept it.
func (r *Report) Verdict() (kept bool, why string) {
	way := r.Shielded()
	limit := time.Duration(r.Limit) * time.Microsecond
	switch {
	case r.Interrupted:
		return false, fmt.Sprintf("--max %v: it was interrupted before all was measured", limit)
	case way.Samples == 0:
		return false, fmt.Sprintf("--max %v: nothing was measured", limit)
	case int64(way.Max) > r.Limit:
		return false, fmt.Sprintf("--max %v: the latest wake-up of %s came after %d µs", limit, way.Name, way.Max)
	}
	return true, fmt.Sprintf("--max %v: kept, the latest wake-up of %s came after %d µs", limit, way.Name, way.Max)
}
