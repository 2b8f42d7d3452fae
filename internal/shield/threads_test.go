package shield

import "testing"

func TestExemptThreadsStayButGetBackWhatTheyInherited(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0"), Since: 100, Given: map[string]string{"0": "0-1"}}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "1")})
	knob := Knob{Thread, "7:150"}
	for _, c := range []struct {
		now, want, fixed string
		exempt           bool
	}{
		{"0-1", "0", "", false},
		{"0-1", "0", Exempt, true},
		{"0", "0", "", false}, // inherited, and to be given back once nobody holds CPU 1
		{"0", "0-1", "", true},
	} {
		state := ThreadState{CPUs: set(t, c.now), Allowed: set(t, "0-1"), Loose: true, Start: 150, Exempt: c.exempt}
		plan := Plan(ledger, Observation{Online: set(t, "0-1"), Threads: map[Knob]ThreadState{knob: state}})
		if len(plan) != 1 || plan[0].Want != c.want || plan[0].Fixed != c.fixed {
			t.Errorf("now %s, exempt %v: %+v", c.now, c.exempt, plan)
		}
	}
}
