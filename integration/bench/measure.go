package main

import (
	"context"
	"slices"
	"time"
)

// benchCase is one thing to do, with runc alone and through rtshield.
type benchCase struct {
	name           string
	limit          float64 // of the ratio, as the project wants it
	runc, rtshield func(context.Context) (time.Duration, error)
}

// result holds the medians of the pairs.
type result struct {
	name           string
	limit          float64
	runc, rtshield time.Duration
}

func (r result) ratio() float64 { return float64(r.rtshield) / float64(r.runc) }

// rest lets the kernel finish with one container (it frees cgroups an RCU grace period later) before the next is timed.
const rest = 50 * time.Millisecond

// measure takes turns, A B B A: what changes on the host meanwhile, and what the
// first of two leaves in the caches for the second, meets both alike.
func (c benchCase) measure(ctx context.Context, pairs int) (result, error) {
	var runc, rtshield []time.Duration
	both := []struct {
		do   func(context.Context) (time.Duration, error)
		took *[]time.Duration
	}{{c.runc, &runc}, {c.rtshield, &rtshield}}
	for range warmUp + pairs {
		for _, one := range both {
			time.Sleep(rest)
			took, err := one.do(ctx)
			if ctx.Err() != nil {
				return result{}, context.Cause(ctx)
			}
			if err != nil {
				return result{}, err
			}
			*one.took = append(*one.took, took)
		}
		slices.Reverse(both)
	}
	return result{c.name, c.limit, median(runc[warmUp:]), median(rtshield[warmUp:])}, nil
}

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
