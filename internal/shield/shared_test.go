package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

func sharing() map[string]Class {
	classes := BuiltinClasses()
	for _, name := range []string{"fifo", "rr", "batch"} {
		class := classes[name]
		class.Shared = true
		classes[name] = class
	}
	return classes
}

func TestASharedContainerIsHeldToItsClass(t *testing.T) {
	root := Budget{Runtime: 950000, Period: 1000000}
	for name, c := range map[string]struct {
		request Request
		root    Budget
		want    Shared
		refused string
	}{
		"the class's own":      {asks("app"), Budget{}, Shared{Class: "fifo", Policy: FIFO, Priority: 50}, ""},
		"with budgets":         {asks("app"), root, Shared{Class: "fifo", Policy: FIFO, Priority: 50, Budget: Budget{50000, 1000000}}, ""},
		"it asks for more":     {asks("app", KeyRTBandwidth, "8%", KeyPriority, "60"), root, Shared{Class: "fifo", Policy: FIFO, Priority: 60, Budget: Budget{80000, 1000000}}, ""},
		"the engine asks":      {func() Request { r := asks("app"); r.Budget = Budget{700, 10000}; return r }(), root, Shared{Class: "fifo", Policy: FIFO, Priority: 50, Budget: Budget{70000, 1000000}}, ""},
		"an ordinary policy":   {asks("app", KeyPolicy, "batch"), root, Shared{Class: "fifo", Policy: Batch}, ""},
		"above the ceiling":    {asks("app", KeyPriority, "81"), root, Shared{}, "allows at most 80"},
		"rlimit above":         {func() Request { r := asks("app"); r.RTPrio = 99; return r }(), root, Shared{}, "RLIMIT_RTPRIO 99"},
		"CPUs of its own":      {asks("app", KeyCPUs, "2"), root, Shared{}, "annotation rtshield.io/cpus = \"2\" is for a container with CPUs of its own"},
		"interrupts":           {asks("app", KeyIRQ, "away"), root, Shared{}, "rtshield.io/irq"},
		"rules for threads":    {asks("app", KeyThreads, "a=fifo:1"), root, Shared{}, "rtshield.io/threads"},
		"more than there is":   {asks("app", KeyRTBandwidth, "20%"), root, Shared{}, "of the 10% that all containers without CPUs of their own have together 100000 µs are left"},
		"a budget without any": {asks("app", KeyRTBandwidth, "8%"), Budget{}, Shared{}, "no budget for the real-time threads of a cgroup"},
	} {
		got, err := ResolveShared(sharing(), c.root, &Ledger{}, c.request)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want %q", name, err, c.refused)
			}
			continue
		}
		if err != nil || got.Class != c.want.Class || got.Policy != c.want.Policy || got.Priority != c.want.Priority || got.Budget != c.want.Budget {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Whoever comes first: what is for shared containers is granted to nobody, and of what is for grants none is theirs.
func TestSharedContainersAndGrantsTakeNoBudgetFromEachOther(t *testing.T) {
	root := Budget{Runtime: 950000, Period: 1000000}
	topo := twoCPUs(t)
	layout, host := layoutOf(t, topo, "auto"), Host{Topology: topo, Level: LevelCpuset, Cpusets: true, Budget: root}
	ledger := &Ledger{}
	sum := func() (sum int64) {
		for _, grant := range ledger.Grants {
			sum += grant.Budget.Runtime
		}
		for _, ordinary := range ledger.Ordinary {
			sum += ordinary.Shared.Budget.Runtime
		}
		return sum
	}
	for _, name := range []string{"a", "b"} {
		shared, err := ResolveShared(sharing(), root, ledger, asks(name))
		if err != nil {
			t.Fatal(err)
		}
		ledger.AddOrdinary(Ordinary{Key: Key{ID: name}, Shared: &shared})
	}
	if _, err := ResolveShared(sharing(), root, ledger, asks("c")); err == nil || !strings.Contains(err.Error(), "0 µs are left") {
		t.Errorf("a third: %v", err)
	}
	grant, err := Decide(sharing(), layout, host, ledger, asks("own"))
	if err != nil || grant.Budget.Runtime != 850000 {
		t.Fatalf("%+v, %v", grant.Budget, err)
	}
	if ledger.Add(grant); sum() != root.Runtime {
		t.Errorf("together they have %d", sum())
	}
	if grant, _ := Decide(BuiltinClasses(), layout, host, &Ledger{}, asks("own")); grant.Budget.Runtime != 950000 {
		t.Errorf("where no class is shared a grant has %d", grant.Budget.Runtime)
	}
	if got := granted(Budget{Runtime: -1, Period: 1000000}, sharing()); got.Runtime != 900000 {
		t.Errorf("with throttling off: %+v", got)
	}
}

func TestTheBudgetOfASharedContainerIsFundedAndGivenBack(t *testing.T) {
	second := func(runtime int64) Budget { return Budget{runtime, 1000000} }
	ledger := &Ledger{}
	ledger.AddOrdinary(Ordinary{Key: Key{ID: "s"}, Bound: true, Shared: &Shared{Budget: second(50000), Budgets: []string{"/kubepods", "/kubepods/s"}}})
	ledger.Add(Grant{Key: Key{ID: "g"}, Bound: true, Budget: second(850000), Cgroups: Cgroups{Budgets: []string{"/kubepods", "/kubepods/g"}}})
	seen := Observation{Budgets: map[string]BudgetState{"/kubepods": {Budget: second(0)}, "/kubepods/s": {Budget: second(0)}, "/kubepods/g": {Budget: second(0)}}}
	for _, setting := range Plan(ledger, seen) {
		if want := map[string]string{"/kubepods": "900000", "/kubepods/s": "50000", "/kubepods/g": "850000"}[setting.Name]; setting.Want != want {
			t.Errorf("%s should be %s, is planned as %s", setting.Name, want, setting.Want)
		}
	}
	if !ledger.Held().IsEmpty() {
		t.Errorf("it holds CPU %s", ledger.Held())
	}
	ledger.Release(Key{ID: "s"})
	ledger.Release(Key{ID: "g"})
	ledger.Note(Knob{RTBudget, "/kubepods"}, "0")
	if plan := Plan(ledger, Observation{Budgets: map[string]BudgetState{"/kubepods": {Budget: second(900000)}}}); len(plan) != 1 || plan[0].Want != "0" {
		t.Errorf("%+v", plan)
	}
}

func TestNobodyRunsAmongOthersWhereNothingKeepsTimeForThem(t *testing.T) {
	throttled, off := Budget{950000, 1000000}, Budget{-1, 1000000}
	fifo := Shared{Class: "fifo", Policy: FIFO, Priority: 50}
	funded := fifo
	funded.Budget = Budget{50000, 1000000}
	for name, c := range map[string]struct {
		shared   Shared
		fairness Fairness
		refused  string
	}{
		"throttling, before 6.12":            {fifo, Fairness{Throttle: throttled}, ""},
		"no throttling, before 6.12":         {fifo, Fairness{Throttle: off}, "nothing keeps time for ordinary threads on this host"},
		"all of the period, before 6.12":     {fifo, Fairness{Throttle: Budget{1000000, 1000000}}, "sched_rt_runtime_us"},
		"fair servers":                       {fifo, Fairness{Throttle: off, Servers: true}, ""},
		"a fair server is off":               {fifo, Fairness{Throttle: throttled, Servers: true, Starved: cpuset.New(3)}, "the fair server of CPU 3 is off"},
		"a budget of its own":                {funded, Fairness{Throttle: off}, ""},
		"an ordinary policy, nothing at all": {Shared{Class: "batch", Policy: Batch}, Fairness{Throttle: off}, ""},
	} {
		err := c.shared.Fair("app", c.fairness)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		}
	}
}

func TestWhatNeedsCPUsOfItsOwnIsNoSharedClass(t *testing.T) {
	for option, change := range map[string]func(*Class){
		"policy": func(c *Class) { *c = BuiltinClasses()["deadline"] }, "require_level": func(c *Class) { c.RequireLevel = LevelCpuset },
		"exec": func(c *Class) { c.Exec = Inherit },
	} {
		class := BuiltinClasses()["fifo"]
		change(&class)
		class.Shared = true
		if err := class.Validate(); err == nil || !strings.Contains(err.Error(), `shared = "true": expected false beside `+option) {
			t.Errorf("%s: %v", option, err)
		}
	}
}
