package shield

import (
	"strings"
	"testing"
)

// bounds is an ordinary container's request.
func bounds(choices ...string) Request {
	request := asks("web", choices...)
	delete(request.Choices, KeyClass)
	return request
}

func TestABandwidthIsAQuotaInEachPeriod(t *testing.T) {
	quota := func(request Request, quota, period int64) Request {
		request.Quota, request.Period = quota, period
		return request
	}
	for _, c := range []struct {
		request Request
		want    string // the share, or part of the error
	}{
		{bounds(), "no bound"},
		{bounds("cpu-bandwidth", "50%"), "50% of a CPU (50ms in each 100ms)"},
		{bounds("cpu-bandwidth", "150%"), "150% of a CPU (150ms in each 100ms)"},
		{bounds("cpu-bandwidth", "12.5%"), "12.5% of a CPU (12.5ms in each 100ms)"},
		{bounds("cpu-bandwidth", "33.333%", "cpu-period", "1s"), "33.333% of a CPU (333.33ms in each 1s)"},
		{bounds("cpu-bandwidth", "50%", "cpu-period", "10ms"), "50% of a CPU (5ms in each 10ms)"},
		{bounds("cpu-bandwidth", "50%", "cpu-burst", "20%"), "50% of a CPU (50ms in each 100ms, and 20ms more of what was left before)"},
		{bounds("cpu-bandwidth", "50%", "cpu-burst", "0%"), "50% of a CPU (50ms in each 100ms)"},
		{quota(bounds("cpu-bandwidth", "50%"), -1, 100000), "50% of a CPU (50ms in each 100ms)"},
		{quota(bounds("cpu-bandwidth", "50%"), 0, 20000), "50% of a CPU (10ms in each 20ms)"},
		{quota(bounds("cpu-bandwidth", "50%", "cpu-period", "10ms"), 0, 20000), "50% of a CPU (5ms in each 10ms)"},
		{quota(bounds("cpu-bandwidth", "50%"), 50000, 100000), `annotation rtshield.io/cpu-bandwidth = "50%" and linux.resources.cpu.quota = 50000 µs`},
		{quota(bounds(), 50000, 100000), "no bound"},
		{bounds("cpu-bandwidth", "401%"), "container web may run on 4 CPUs: ask for 400% or less"},
		{bounds("cpu-bandwidth", "9999999%"), "ask for 400% or less"},
		{bounds("cpu-bandwidth", "99999999%"), "expected a percentage of one CPU, such as 50% or 150%"},
		{bounds("cpu-bandwidth", "50"), `rtshield.io/cpu-bandwidth = "50": expected a percentage of one CPU`},
		{bounds("cpu-bandwidth", "0%"), "expected a percentage"},
		{bounds("cpu-bandwidth", "-50%"), "expected a percentage"},
		{bounds("cpu-bandwidth", "5e1%"), "expected a percentage"},
		{bounds("cpu-bandwidth", ".5%"), "expected a percentage"},
		{bounds("cpu-bandwidth", "5.%"), "expected a percentage"},
		{bounds("cpu-bandwidth", ""), "expected a percentage"},
		{bounds("cpu-bandwidth", "0.5%"), "is 500µs of each 100ms, and the kernel takes no less than 1ms: ask for 1% or more, or for rtshield.io/cpu-period of 200ms"},
		{bounds("cpu-bandwidth", "0.05%"), "ask for 1% or more"},
		{bounds("cpu-bandwidth", "10%", "cpu-period", "3ms"), "ask for 34% or more, or for rtshield.io/cpu-period of 10ms"},
		{bounds("cpu-bandwidth", "50%", "cpu-period", "2s"), `rtshield.io/cpu-period = "2s": expected a duration from 1ms to 1s, such as 100ms`},
		{bounds("cpu-bandwidth", "50%", "cpu-period", "999us"), "expected a duration from 1ms"},
		{bounds("cpu-bandwidth", "50%", "cpu-period", "100000"), "expected a duration from 1ms"},
		{bounds("cpu-bandwidth", "50%", "cpu-burst", "60%"), `rtshield.io/cpu-burst = "60%": expected a percentage of one CPU, at most that of cpu-bandwidth, 50%`},
		{bounds("cpu-period", "10ms"), "annotation rtshield.io/cpu-period means nothing without rtshield.io/cpu-bandwidth"},
		{bounds("cpu-burst", "10%"), "annotation rtshield.io/cpu-burst means nothing without rtshield.io/cpu-bandwidth"},
	} {
		share, err := c.request.Share(4)
		got := share.String()
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "\n") || share.Limited() {
				t.Errorf("%q with %+v", got, share)
			}
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.request.Choices, got, c.want)
		}
		if c.request.Asks() {
			t.Errorf("%+v asks for a shield", c.request.Choices)
		}
	}
}

func TestABandwidthBesideAClassIsTheGrants(t *testing.T) {
	topo := twoNodes(t)
	decide := func(request Request) (Grant, error) {
		return Decide(BuiltinClasses(), layoutOf(t, topo, "auto"), Host{Topology: topo}, &Ledger{}, request)
	}
	grant, err := decide(asks("web", "cpus", "2", "cpu-bandwidth", "150%"))
	if err != nil || grant.Share != (Share{Quota: 150_000, Period: 100_000}) {
		t.Errorf("%+v, %v", grant.Share, err)
	}
	if _, err := decide(asks("web", "cpu-bandwidth", "150%")); err == nil || !strings.Contains(err.Error(), "may run on 1 CPU: ask for 100% or less") {
		t.Errorf("more than it has: %v", err)
	}
	for quota, want := range map[int64]string{
		150_000: "", -1: "", 0: "",
		100_000: "a quota of 100000 µs, but it asked for 150% of a CPU (150ms in each 100ms): leave the quota out",
	} {
		if err := grant.Accept(Update{Quota: quota}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("quota %d: %v, want %q", quota, err, want)
		}
	}
	if _, err := decide(bounds("rt-bandwidth", "50%", "cpu-bandwidth", "50%")); err == nil || !strings.Contains(err.Error(), "rtshield.io/rt-bandwidth means nothing without a class") {
		t.Errorf("without a class: %v", err)
	}
}

func TestTheRealTimeBandwidthIsABudgetThatLeavesOthersTheirs(t *testing.T) {
	topo := twoNodes(t)
	host := Host{Topology: topo, Budget: Budget{Runtime: 950_000, Period: 1_000_000}}
	ledger := &Ledger{}
	request := func(name string, choices ...string) Request { return asks(name, append(choices, "smt", "prefer")...) }
	for _, c := range []struct {
		request Request
		want    int64
		err     string
	}{
		// 4 CPUs in the pool: each has 237 ms of it.
		{request("a", "rt-bandwidth", "80%"), 0, "is 800000 µs of real-time budget (RT_GROUP_SCHED); of the 950000 µs that all cgroups have together 239000 are left for it, since each free CPU of the shield keeps its part: ask for 23% or less"},
		{request("a", "rt-bandwidth", "10%"), 100_000, ""},
		{request("b", "rt-bandwidth", "50%"), 0, "and others have theirs (4: a): ask for 37% or less"},
		{request("b", "rt-bandwidth", "37%"), 370_000, ""},
		{request("c"), 237_000, ""},
		{request("d"), 237_000, ""},
	} {
		grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "4-7"), host, ledger, c.request)
		if err != nil || c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || c.err == "" {
				t.Errorf("%s: %v, want %q", c.request.Name, err, c.err)
			}
			continue
		}
		if grant.Budget != (Budget{c.want, 1_000_000}) {
			t.Errorf("%s has %+v, want %d", c.request.Name, grant.Budget, c.want)
		}
		ledger.Add(grant)
	}
	var sum int64
	for _, grant := range ledger.Grants {
		sum += grant.Budget.Runtime
	}
	if len(ledger.Grants) != 4 || sum > host.Budget.Runtime {
		t.Errorf("%d grants have %d µs together", len(ledger.Grants), sum)
	}
}

func TestWithoutBudgetsTheFairServerKeepsTheRest(t *testing.T) {
	topo := twoNodes(t)
	fair := BuiltinClasses()
	off := fair["fifo"]
	off.Name, off.Power.FairServer = "alone", "off"
	fair["alone"] = off
	budget := asks("a", "rt-bandwidth", "80%")
	budget.Budget = Budget{Runtime: 100_000}
	for _, c := range []struct {
		request Request
		lacks   string
		want    string // of the fair server, or part of the error
	}{
		{asks("a", "rt-bandwidth", "80%"), "", "20%"},
		{asks("a", "rt-bandwidth", "5%"), "", "95%"},
		{asks("a"), "this kernel has no fair server (Linux 6.12)", "keep"},
		{asks("a", "rt-bandwidth", "80%"), "this kernel has no fair server (Linux 6.12)", "this kernel has no such budget for the container: no RT_GROUP_SCHED on cgroup v1, and this kernel has no fair server"},
		{asks("a", "rt-bandwidth", "4%"), "", "ask for 5% or more"},
		{asks("a", "rt-bandwidth", "80%", "class", "alone"), "", `class alone gives them nothing (fair_server = "off")`},
		{asks("a", "rt-bandwidth", "101%"), "", `rtshield.io/rt-bandwidth = "101%": expected how much of each of its CPUs`},
		{asks("a", "rt-bandwidth", "much"), "", "expected how much of each of its CPUs"},
		{asks("a", "rt-bandwidth", "80%", "class", "deadline"), "", "is for policies fifo and rr; class deadline gives deadline"},
		{asks("a", "rt-bandwidth", "80%", "policy", "other"), "", "is for policies fifo and rr; class fifo gives other"},
		{budget, "", `annotation rtshield.io/rt-bandwidth = "80%" and linux.resources.cpu.realtimeRuntime = 100000 µs`},
	} {
		grant, err := Decide(fair, layoutOf(t, topo, "auto"), Host{Topology: topo, NoFairServer: c.lacks}, &Ledger{}, c.request)
		got := grant.Power.FairServer
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%+v: %q, want %q", c.request.Choices, got, c.want)
		}
		held := err == nil && c.want != "keep"
		if grant.Needs(Knob{FairServer, grant.CPUs.String()}) != held || held != (len(grant.Limits) == 1) {
			t.Errorf("%+v: limits %v, needs its fair server %v", c.request.Choices, grant.Limits, !held)
		}
	}
	// Whatever it was, also off, and back to that.
	for _, c := range []struct {
		now, baseline, want string
		grants              []Grant
	}{
		{"50000000", "", "200000000", []Grant{{CPUs: cpus(t, "4"), Power: Power{FairServer: "20%"}}}},
		{"0", "", "200000000", []Grant{{CPUs: cpus(t, "4"), Power: Power{FairServer: "20%"}}}},
		{"300000000", "", "200000000", []Grant{{CPUs: cpus(t, "4"), Power: Power{FairServer: "20%"}}}},
		{"200000000", "300000000", "300000000", nil},
	} {
		knob := Knob{FairServer, "4"}
		ledger := &Ledger{Grants: c.grants}
		if c.baseline != "" {
			ledger.Note(knob, c.baseline)
		}
		settings := planPower(ledger, Observation{Values: map[Knob]ValueState{knob: {Now: c.now, CPUs: set(t, "4"), Period: 1_000_000_000}}})
		if len(settings) != 1 || settings[0].Want != c.want || settings[0].Misses(Power{FairServer: "20%"}) != "" {
			t.Errorf("%+v: %+v", c, settings)
		}
	}
}

func TestANoteOfABoundContainerLastsUntilItIsDropped(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	web := Limited{Key: Key{"/run/runc", "../../web"}, Name: "web", Share: Share{Quota: 5000, Period: 10000}, Asked: "50%", Wrote: -1, Cgroups: []string{"/web"}, Owner: Owner{7, 9}}
	other := Limited{Key: Key{"/run/other", "../../web"}, Name: "other"}
	for _, limited := range []Limited{web, other} {
		if err := store.SaveLimited(limited); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.Limited(web.Key)
	if err != nil || got == nil || got.Share != web.Share || got.Wrote != -1 || got.Cgroups[0] != "/web" || got.Owner != web.Owner {
		t.Errorf("%+v, %v", got, err)
	}
	for quota, want := range map[int64]bool{0: false, -1: false, 5000: true} {
		if got.Replaces(Update{Quota: quota}) != want {
			t.Errorf("an update to quota %d replaces the bound: %v", quota, !want)
		}
	}
	if all, err := store.AllLimited(); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	for range 2 {
		if err := store.DropLimited(web.Key); err != nil {
			t.Error(err)
		}
	}
	if all, err := store.AllLimited(); err != nil || len(all) != 1 || all[0].Name != "other" || store.HasNote(web.Key) {
		t.Errorf("%+v, %v", all, err)
	}
	if got, err := store.Limited(web.Key); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzPercent: what is taken is written as the same again.
func FuzzPercent(f *testing.F) {
	for _, text := range []string{"50%", "0.001%", "150%", "1.50%", "%", "1e3%", "00001%", "9999999.999%", "+5%", "5 %", "5.%", "1.2.3%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		percent, err := ParsePercent(text)
		if err != nil {
			return
		}
		if again, err := ParsePercent(percent.String()); err != nil || again != percent || percent < 0 {
			t.Errorf("%q is read as %d and written %q: %d, %v", text, percent, percent, again, err)
		}
	})
}
