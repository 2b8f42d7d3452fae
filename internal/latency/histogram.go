package latency

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Histogram counts wake-ups by how late they came, in whole µs.
type Histogram struct {
	counts map[int]uint64
	// Later were later than cyclictest counts singly; of them Max is known.
	Later uint64
	// Max is the latest of all, in µs.
	Max int
}

// Samples is how many wake-ups were measured.
func (h Histogram) Samples() uint64 {
	n := h.Later
	for _, count := range h.counts {
		n += count
	}
	return n
}

// Add puts another round in.
func (h *Histogram) Add(other Histogram) {
	if h.counts == nil {
		h.counts = map[int]uint64{}
	}
	for us, count := range other.counts {
		h.counts[us] += count
	}
	h.Later += other.Later
	h.Max = max(h.Max, other.Max)
}

// Each calls do for each lateness that was seen, in order. Those that were not counted singly come as Max.
func (h Histogram) Each(do func(us int, count uint64)) {
	for _, us := range slices.Sorted(maps.Keys(h.counts)) {
		do(us, h.counts[us])
	}
	if h.Later > 0 {
		do(h.Max, h.Later)
	}
}

// Percentile is the smallest lateness, in µs, that p percent of all wake-ups do not exceed (nearest rank). It needs so many
// samples that one of them is beyond it: of fewer, known is false.
func (h Histogram) Percentile(p float64) (us int, known bool) {
	n := h.Samples()
	beyond := uint64(float64(n)*(100-p)/100 + 1e-6) // 100-99.9 is 0.09999999999999432
	if beyond == 0 {
		return 0, false
	}
	rank, seen := n-beyond, uint64(0)
	h.Each(func(at int, count uint64) {
		if seen < rank {
			us = at
		}
		seen += count
	})
	return us, true
}

// MarshalJSON writes the counts as cyclictest's own JSON does: {"16": 3, "17": 210}.
func (h Histogram) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, us := range slices.Sorted(maps.Keys(h.counts)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":%d`, us, h.counts[us])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads them. Later and Max stand beside them in a report.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var counts map[string]uint64
	if err := json.Unmarshal(data, &counts); err != nil {
		return err
	}
	h.counts = make(map[int]uint64, len(counts))
	for word, count := range counts {
		us, err := strconv.Atoi(word)
		if err != nil || us < 0 {
			return fmt.Errorf("histogram: %q is no number of µs", word)
		}
		h.counts[us] = count
		if count > 0 {
			h.Max = max(h.Max, us)
		}
	}
	return nil
}
