package shield

import "testing"

func TestExemptThreadsStayButGetBackWhatTheyInherited(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0"), Since: 100, Given: map[string]string{"0": "0-1"}}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "1")})
	knob := Knob{Thread, "7:150"}
	for _, c := range []struct {
		now, want, fixed string
		exempt, left     bool
	}{
		{"0-1", "0", "", false, false},
		{"0-1", "0", Exempt, true, false},
		{"0-1", "0", LeftHelper, false, true},
		{"0", "0", "", false, false}, // inherited, and to be given back once nobody holds CPU 1
		{"0", "0-1", "", true, false},
		{"0", "0-1", "", false, true},
	} {
		state := ThreadState{CPUs: set(t, c.now), Allowed: set(t, "0-1"), Loose: true, Start: 150, Exempt: c.exempt, Left: c.left}
		plan := Plan(ledger, Observation{Online: set(t, "0-1"), Threads: map[Knob]ThreadState{knob: state}})
		if len(plan) != 1 || plan[0].Want != c.want || plan[0].Fixed != c.fixed {
			t.Errorf("now %s, exempt %v, left %v: %+v", c.now, c.exempt, c.left, plan)
		}
	}
}

// One that was born while a partition was made may not have been told of it.
func TestAThreadThatThePartitionMissedIsToldAllThatItHad(t *testing.T) {
	for _, c := range []struct {
		level   string
		kernel  bool
		now     string
		clipped bool
	}{
		{LevelPartition, false, "0-3", true},
		{LevelPartition, false, "1-3", true},
		{LevelPartition, true, "0-3", false}, // the kernel loses what it had of those
		{LevelCpuset, false, "0-3", false},
	} {
		ledger := &Ledger{Housekeeping: cpus(t, "0-1")}
		ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "2-3"), Level: c.level})
		state := ThreadState{CPUs: set(t, c.now), Allowed: set(t, "0-1"), Loose: true, Kernel: c.kernel}
		plan := Plan(ledger, Observation{Online: set(t, "0-3"), Threads: map[Knob]ThreadState{{Thread, "7:150"}: state}})
		if len(plan) != 1 || plan[0].Clipped != c.clipped || !plan[0].Differs() {
			t.Errorf("%+v: %+v", c, plan)
		}
	}
}
