package shield

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

func TestWordsOfPower(t *testing.T) {
	with := func(change func(*Power)) Power {
		power := BuiltinClasses()["batch"].Power
		change(&power)
		return power
	}
	for _, c := range []struct {
		power Power
		want  string // part of the error, "" for none
	}{
		{with(func(*Power) {}), ""},
		{with(func(p *Power) { p.CStates = "off" }), ""},
		{with(func(p *Power) { p.CStates = "1.5ms" }), ""},
		{with(func(p *Power) { p.CStates = "20" }), `cstates = "20": expected "keep", "off"`},
		{with(func(p *Power) { p.CStates = "500ns" }), `cstates = "500ns"`},
		{with(func(p *Power) { p.CStates = "-1us" }), `cstates = "-1us"`},
		{with(func(p *Power) { p.CStates = "" }), `cstates = ""`},
		{with(func(p *Power) { p.Governor = "schedutil" }), ""},
		{with(func(p *Power) { p.Governor = "a governor" }), `governor = "a governor": expected "keep" or a name out of scaling_available_governors`},
		{with(func(p *Power) { p.Governor = "morethanfifteen_" }), "governor = "},
		{with(func(p *Power) { p.Preference = "balance_power" }), ""},
		{with(func(p *Power) { p.Preference = "128" }), ""},
		{with(func(p *Power) { p.Preference = "256" }), "energy_performance_preference = "},
		{with(func(p *Power) { p.Preference = "default" }), "energy_performance_preference = "},
		{with(func(p *Power) { p.MinFreq = "2.4GHz" }), ""},
		{with(func(p *Power) { p.MinFreq = "2400000" }), ""},
		{with(func(p *Power) { p.MinFreq = "fast" }), `scaling_min_freq = "fast": expected "keep", "max"`},
		{with(func(p *Power) { p.FairServer = "on" }), `fair_server = "on": expected "keep" or "off"`},
	} {
		err := c.power.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.power, err, c.want)
		}
	}
}

// grantOf is a bound grant of one CPU with words such as "governor=performance".
func grantOf(cpu int, words ...string) Grant {
	grant := Grant{Key: Key{"/r", "cpu" + strconv.Itoa(cpu)}, Bound: true, CPUs: CPUsOf(cpuset.New(cpu))}
	for _, word := range words {
		option, value, _ := strings.Cut(word, "=")
		*map[string]*string{
			"cstates": &grant.Power.CStates, "governor": &grant.Power.Governor, "preference": &grant.Power.Preference,
			"min": &grant.Power.MinFreq, "fair": &grant.Power.FairServer,
		}[option] = value
	}
	return grant
}

func TestPlanOfPower(t *testing.T) {
	governors := []string{"performance", "powersave", "schedutil"}
	steps := []string{"1200000", "1800000", "2400000"}
	for _, c := range []struct {
		name          string
		kind          Kind
		governs       string
		baseline, now string
		state         ValueState
		grants        []Grant
		want, fixed   string
	}{
		{"a bound", WakeLatency, "4", "", "0", ValueState{}, []Grant{grantOf(4, "cstates=20us")}, "20", ""},
		{"no sleep at all", WakeLatency, "4", "", "0", ValueState{}, []Grant{grantOf(4, "cstates=off")}, "n/a", ""},
		{"a stricter bound stays", WakeLatency, "4", "", "5", ValueState{}, []Grant{grantOf(4, "cstates=20us")}, "5", ""},
		{"none is stricter than any", WakeLatency, "4", "n/a", "20", ValueState{}, []Grant{grantOf(4, "cstates=20us")}, "n/a", ""},
		{"back", WakeLatency, "4", "0", "20", ValueState{}, nil, "0", ""},
		{"another CPU's", WakeLatency, "5", "", "0", ValueState{}, []Grant{grantOf(4, "cstates=20us")}, "", ""},
		{"a governor", Governor, "4", "", "schedutil", ValueState{Choices: governors}, []Grant{grantOf(4, "governor=performance")}, "performance", ""},
		{"a slower one on a CPU of its own", Governor, "4", "", "performance", ValueState{}, []Grant{grantOf(4, "governor=powersave")}, "powersave", ""},
		{"not on one that others share", Governor, "0,4", "", "performance", ValueState{}, []Grant{grantOf(4, "governor=powersave")}, "performance", ""},
		{"a faster one, also for others", Governor, "0,4", "", "powersave", ValueState{}, []Grant{grantOf(4, "governor=performance")}, "performance", ""},
		{"the strongest of two", Governor, "4-5", "", "schedutil", ValueState{}, []Grant{grantOf(4, "governor=powersave"), grantOf(5, "governor=performance")}, "performance", ""},
		{"one that is not there", Governor, "4", "", "schedutil", ValueState{Choices: governors}, []Grant{grantOf(4, "governor=ondemand")}, "ondemand", "the driver has only performance, powersave, schedutil"},
		{"one that is not there beside one that is", Governor, "4-5", "", "schedutil", ValueState{Choices: governors}, []Grant{grantOf(4, "governor=userspace"), grantOf(5, "governor=powersave")}, "powersave", ""},
		{"no file", Governor, "4", "", "", ValueState{Fixed: "no cpufreq", Gone: true}, []Grant{grantOf(4, "governor=performance")}, "performance", "no cpufreq"},
		{"the frequency that the driver would take", MinFreq, "4", "", "1200000", ValueState{Choices: steps, Max: 2400000}, []Grant{grantOf(4, "min=1.5GHz")}, "1800000", ""},
		{"the highest", MinFreq, "4", "", "1200000", ValueState{Max: 2100000}, []Grant{grantOf(4, "min=max")}, "2100000", ""},
		{"no higher than that", MinFreq, "4", "", "1200000", ValueState{Choices: steps, Max: 1800000}, []Grant{grantOf(4, "min=2400MHz")}, "1800000", ""},
		{"a higher one stays", MinFreq, "4", "2400000", "1800000", ValueState{}, []Grant{grantOf(4, "min=1800MHz")}, "2400000", ""},
		{"a preference by number", Preference, "4", "", "balance_performance", ValueState{Choices: []string{"performance", "power"}}, []Grant{grantOf(4, "preference=0")}, "performance", ""},
		{"the stronger of a name and a number", Preference, "4-5", "", "power", ValueState{}, []Grant{grantOf(4, "preference=balance_power"), grantOf(5, "preference=64")}, "64", ""},
		{"the fair server", FairServer, "4", "", "50000000", ValueState{}, []Grant{grantOf(4, "fair=off")}, "0", ""},
		{"and back", FairServer, "4", "50000000", "0", ValueState{}, nil, "50000000", ""},
	} {
		knob := Knob{c.kind, "x"}
		ledger := &Ledger{Baselines: map[string]string{}}
		if c.baseline != "" {
			ledger.Note(knob, c.baseline)
		}
		for _, grant := range c.grants {
			ledger.Add(grant)
		}
		c.state.Now, c.state.CPUs = c.now, set(t, c.governs)
		plan := Plan(ledger, Observation{Values: map[Knob]ValueState{knob: c.state}})
		switch {
		case c.want == "" && len(plan) == 0:
		case len(plan) != 1 || plan[0].Want != c.want || plan[0].Fixed != c.fixed:
			t.Errorf("%s: %+v, want %q, fixed %q", c.name, plan, c.want, c.fixed)
		}
	}
}

// processor behaves as intel_pstate does in its active mode: under governor performance the preference is performance
// and refuses any other (EBUSY); back under another governor it is what it was.
type processor struct{ governor, preference, saved string }

func (p *processor) write(kind Kind, value string) bool {
	switch {
	case kind == Governor && value == "performance" && p.governor != value:
		p.saved, p.preference = p.preference, "performance"
	case kind == Governor && p.governor == "performance" && value != p.governor:
		p.preference = p.saved
	case kind == Preference && p.governor == "performance" && value != "performance":
		return false
	case kind == Preference:
		p.preference = value
	}
	if kind == Governor {
		p.governor = value
	}
	return true
}

// TestAnyOrderOfGrantsEndsWithThePowerOfBefore: two policies of two CPUs each, whose grants come and go at random; the
// reconcile is sometimes killed between two writes.
func TestAnyOrderOfGrantsEndsWithThePowerOfBefore(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	before := map[string]processor{"p0": {"powersave", "balance_performance", ""}, "p1": {"performance", "performance", "balance_power"}}
	kernel := map[string]*processor{}
	for name, p := range before {
		kernel[name] = &p
	}
	cpusOf := map[string]string{"p0": "4-5", "p1": "6-7"}
	ledger := &Ledger{Baselines: map[string]string{}}
	read := func(knob Knob) string {
		if knob.Kind == Governor {
			return kernel[knob.Name].governor
		}
		return kernel[knob.Name].preference
	}
	// As reconcile does: record, then write in order, reading again what the governor changes.
	reconcile := func(stopAfter int) {
		seen := Observation{Values: map[Knob]ValueState{}}
		for name, list := range cpusOf {
			for _, kind := range []Kind{Governor, Preference} {
				seen.Values[Knob{kind, name}] = ValueState{Now: read(Knob{kind, name}), CPUs: set(t, list)}
			}
		}
		settings := Plan(ledger, seen)
		for _, s := range settings {
			if _, known := ledger.Baselines[s.Knob.String()]; !known && (s.Differs() || s.Follows) {
				ledger.Note(s.Knob, s.Baseline)
			}
		}
		for i, s := range settings {
			if i == stopAfter {
				return
			}
			if s.Follows && !s.Differs() {
				continue
			}
			if s.Now = read(s.Knob); s.Differs() {
				kernel[s.Name].write(s.Kind, s.Want)
				s.Now = read(s.Knob)
			}
			if s.Now == s.Baseline && !s.Follows {
				delete(ledger.Baselines, s.Knob.String())
			}
		}
	}
	for step := range 2000 {
		cpu := 4 + random.IntN(4)
		if grant := grantOf(cpu, "governor="+pick("", Keep, "powersave", "performance"), "preference="+pick("", "power", "performance", "balance_power")); !ledger.Release(grant.Key) {
			ledger.Add(grant)
		}
		if random.IntN(3) == 0 {
			reconcile(random.IntN(4))
		}
		reconcile(-1)
		for name, list := range cpusOf {
			var wishes []string
			for _, grant := range ledger.Grants {
				if wish := grant.Power.Wish(Governor); wish != "" && grant.CPUs.IsSubsetOf(set(t, list)) {
					wishes = append(wishes, wish)
				}
			}
			if slices.Contains(wishes, "performance") && kernel[name].governor != "performance" {
				t.Fatalf("step %d: %s has %s, wishes are %q", step, name, kernel[name].governor, wishes)
			}
		}
		if len(ledger.Grants) == 0 || step%50 == 49 {
			ledger.Grants = nil
			reconcile(-1)
			for name, was := range before {
				if now := *kernel[name]; now.governor != was.governor || now.preference != was.preference {
					t.Fatalf("step %d: %s ends as %+v, was %+v", step, name, now, was)
				}
			}
			if len(ledger.Baselines) != 0 {
				t.Fatalf("step %d: still remembered: %v", step, ledger.Baselines)
			}
		}
	}
}

func TestWhatAGrantMissesIsSaid(t *testing.T) {
	for _, c := range []struct {
		kind      Kind
		now, word string
		want      string
	}{
		{Governor, "performance", "governor=powersave", "performance is the stronger"},
		{Governor, "performance", "governor=performance", ""},
		{Governor, "powersave", "governor=performance", "does not have it"},
		{MinFreq, "1800000", "min=2400MHz", "1800000 kHz is the highest"},
		{MinFreq, "2400000", "min=max", ""},
		{WakeLatency, "5", "cstates=20us", ""},
		{Preference, "performance", "preference=0", ""},
	} {
		setting := Setting{Knob: Knob{c.kind, "x"}, Now: c.now, Want: c.now, CPUs: cpuset.New(4, 5)}
		why := setting.Misses(grantOf(4, c.word).Power)
		if c.want == "" && why != "" || !strings.Contains(why, c.want) {
			t.Errorf("%s now %s, asked %s: %q, want %q", c.kind, c.now, c.word, why, c.want)
		}
	}
	if text := fmt.Sprint(BuiltinClasses()["rr"].Power); text != "cstates 20us, governor performance, energy_performance_preference performance" {
		t.Errorf("class rr gives %q", text)
	}
}
