package plot

import (
	"math"

	"github.com/rtshield/rtshield/internal/latency"
)

// bar counts the wake-ups of from to less than to µs. What came within the first µs is with those of 1 µs.
type bar struct {
	from, to float64
	count    uint64
}

// growth makes about 16 bars of each power of ten, but none narrower than a µs: cyclictest tells no smaller.
const growth = 1.155

// barsOf gives the bars that are not empty, in order.
func barsOf(h latency.Histogram) (bars []bar) {
	edge := bar{from: 1, to: 2}
	h.Each(func(us int, count uint64) {
		late := math.Max(float64(us), 1)
		for late >= edge.to {
			edge = bar{from: edge.to, to: math.Max(edge.to+1, math.Round(edge.to*growth))}
		}
		if n := len(bars); n > 0 && bars[n-1].from == edge.from {
			bars[n-1].count += count
			return
		}
		edge.count = count
		bars = append(bars, edge)
		edge.count = 0
	})
	return bars
}
