package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 4, 100}, 6},
	} {
		if got := median(test.of); got != test.want {
			t.Errorf("median of %v: got %d, want %d", test.of, got, test.want)
		}
	}
}

// The order must alternate, and the first pairs must not count.
func TestMeasure(t *testing.T) {
	var order strings.Builder
	calls := 0
	do := func(name string, ms time.Duration) func(context.Context) (time.Duration, error) {
		return func(context.Context) (time.Duration, error) {
			order.WriteString(name)
			if calls++; calls <= 2*warmUp {
				return time.Hour, nil
			}
			return ms * time.Millisecond, nil
		}
	}
	c := benchCase{name: "x", limit: 1.5, runc: do("A", 10), rtshield: do("B", 12)}
	got, err := c.measure(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if order.String() != "ABBAABBA" {
		t.Errorf("order %s", order.String())
	}
	if got.ratio() != 1.2 {
		t.Errorf("ratio %v of %+v", got.ratio(), got)
	}
}
