package wake

import "testing"

func TestPercentile(t *testing.T) {
	var late []int64
	for i := range int64(1000) {
		late = append(late, i+1)
	}
	r := Report{Late: late}
	for p, want := range map[float64]int64{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := r.Percentile(p); got != want {
			t.Errorf("p%v of 1..1000: got %d, want %d", 100*p, got, want)
		}
	}
	if got := (Report{}).Percentile(0.5); got != 0 {
		t.Errorf("no samples: got %d", got)
	}
}

func TestMergeTakesAllSamples(t *testing.T) {
	m := Merge([]Report{{CPUs: "1", Late: []int64{1, 9}, Skipped: 1}, {CPUs: "1", Late: []int64{2, 3}}})
	if m.CPUs != "1" || m.Skipped != 1 || m.Percentile(0.5) != 2 || m.Percentile(1) != 9 {
		t.Errorf("got %+v", m)
	}
}

func TestPolicyName(t *testing.T) {
	for want, r := range map[string]Report{
		"OTHER":    {},
		"FIFO 50":  {Policy: 1, Priority: 50},
		"policy 7": {Policy: 7},
	} {
		if got := r.PolicyName(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
