package shield

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"k8s.io/utils/cpuset"
)

func irqKnob(n int) Knob { return Knob{IRQ, strconv.Itoa(n)} }

func TestAMaskThatCannotBeReadIsNamedAndKeepsItsBaseline(t *testing.T) {
	knob := Knob{Mask, "/sys/m"}
	seen := Observation{Online: set(t, "0-3"), Masks: map[Knob]string{knob: ""}, Fixed: map[Knob]string{knob: "input/output error"}}
	ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{}}
	if plan := Plan(ledger, seen); len(plan) != 0 {
		t.Errorf("without a grant: %+v", plan)
	}
	ledger.Baselines[knob.String()] = "0-3"
	if plan := Plan(ledger, seen); len(plan) != 1 || plan[0].Want != "0-3" || plan[0].Fixed == "" || plan[0].Now == plan[0].Baseline {
		t.Errorf("to go back: %+v", plan)
	}
	delete(ledger.Baselines, knob.String())
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "2"), IRQ: "away"})
	if plan := Plan(ledger, seen); len(plan) != 1 || plan[0].Fixed == "" || !plan[0].Differs() {
		t.Errorf("with a grant: %+v", plan)
	}
}

func TestPlanOfMasks(t *testing.T) {
	for _, c := range []struct {
		name, kind, baseline, now, away, held, want string
	}{
		{"taken away", "irq", "", "0-3", "2", "2", "0-1,3"},
		{"already there", "irq", "0-3", "0-1,3", "2", "2", "0-1,3"},
		{"from the baseline, not from now", "irq", "0-3", "0-1", "2", "2", "0-1,3"},
		{"back to the baseline", "irq", "0-3", "0-1", "", "", "0-3"},
		{"nothing left: to the housekeeping CPUs", "irq", "", "2-3", "2-3", "2-3", "0-1"},
		{"default mask", "irq-default", "", "0-3", "1", "1", "0,2-3"},
		{"a cpuset loses what is held, also with irq keep", "cpuset", "0-3", "0-3", "", "2", "0-1,3"},
		{"a cpuset is never emptied", "cpuset", "2", "2", "", "2", "0-1"},
		{"a queue that is not steered stays so", "mask", "", "", "", "2", ""},
		{"a mask", "mask", "", "0-3", "", "2", "0-1,3"},
		{"a cpuset that has all of its parent's", "cpuset", "none", "0", "", "1", "0,2-3"},
		{"and gets it back", "cpuset", "none", "0,2-3", "", "", ""},
		{"a unit of systemd", "allowed-cpus", "", "", "", "1", "0,2-3"},
		{"a unit whose CPUs the administrator set", "allowed-cpus", "0-1", "0-1", "", "1", "0"},
		{"and back to unset", "allowed-cpus", "none", "0,2-3", "", "", ""},
		{"irqbalance leaves out what interrupts must leave", "irqbalance", "", "", "2", "2", "2"},
		{"besides what it left out before", "irqbalance", "0", "0,3", "2", "2", "0,2"},
		{"and not what keeps its interrupts", "irqbalance", "", "", "", "2", ""},
		{"irqbalance gets its freedom back", "irqbalance", "0", "0,2", "", "", "0"},
	} {
		ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{}}
		knob := Knob{Kind(c.kind), "1"}
		switch c.baseline {
		case "":
		case "none":
			ledger.Baselines[knob.String()] = ""
		default:
			ledger.Baselines[knob.String()] = c.baseline
		}
		if c.held != "" {
			irq := "keep"
			if c.away != "" {
				irq = "away"
			}
			ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, c.held), IRQ: irq})
		}
		plan := Plan(ledger, Observation{Online: set(t, "0-3"), Masks: map[Knob]string{knob: c.now}})
		if c.want == c.now && len(plan) == 0 {
			continue
		}
		if len(plan) != 1 || plan[0].Want != c.want {
			t.Errorf("%s: %+v, want %s", c.name, plan, c.want)
		}
	}
}

func TestIrqbalanceIsToldBeforeInterruptsMove(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0")}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "3"), IRQ: "away"})
	told, stuck := Knob{Irqbalance, "17:4"}, Knob{Irqbalance, "18"}
	seen := Observation{
		Online: set(t, "0-3"), Masks: map[Knob]string{irqKnob(1): "0-3", told: "", stuck: "", {Mask, "/m"}: "0-3"},
		Fixed: map[Knob]string{stuck: "no socket"},
	}
	plan := Plan(ledger, seen)
	if len(plan) != 4 || plan[0].Knob != told || plan[1].Knob != stuck || plan[1].Fixed != "no socket" || plan[0].Fixed != "" {
		t.Errorf("%+v", plan)
	}
	ledger.Note(told, "")
	if plan := Plan(ledger, seen); !plan[0].Written { // what it shows is from its last scan
		t.Errorf("%+v", plan[0])
	}
}

func TestIrqbalanceIsToldToLeaveClaimedInterruptsAlone(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0")}
	grant := Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "3"), IRQ: "keep", Claim: []string{"eth1-*"}, Claimable: []string{"*"}}
	ledger.Add(grant)
	alone := Knob{IrqbalanceAlone, "17:4"}
	seen := Observation{
		Online: set(t, "0-3"), Masks: map[Knob]string{irqKnob(24): "0-3", irqKnob(31): "0-3", irqKnob(40): "0-3", alone: "9"},
		Interrupts: map[int][]string{24: {"eth1-rx-0"}, 31: {"eth1-tx-0"}, 40: {"eth0-rx-0"}},
	}
	if plan := Plan(ledger, seen); len(plan) != 3 || plan[0].Knob != alone || plan[0].Want != "9,24,31" || plan[0].Baseline != "9" {
		t.Errorf("%+v", plan)
	}
	ledger.Note(alone, "9")
	ledger.Release(grant.Key)
	seen.Masks[alone] = "9,24,31"
	if plan := Plan(ledger, seen); len(plan) != 1 || plan[0].Want != "9" {
		t.Errorf("afterwards: %+v", plan)
	}
}

func TestACpusetThatSaysTheSameAsAShrunkOneIsNotTakenForItsCopy(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0")}
	grant := Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "1")}
	kernel := map[Knob]string{{Cpuset, "/c/b"}: "0-1", {Cpuset, "/c/b/own"}: "0"}
	reconcile := func() {
		settings := Plan(ledger, Observation{Online: set(t, "0-1"), Masks: kernel})
		for _, s := range settings {
			if _, known := ledger.Baselines[s.Knob.String()]; !known {
				ledger.Note(s.Knob, s.Baseline)
			}
		}
		for _, s := range settings {
			if kernel[s.Knob] = s.Want; s.Want == s.Baseline && !s.Follows {
				delete(ledger.Baselines, s.Knob.String())
			}
		}
	}
	ledger.Add(grant)
	reconcile()
	kernel[Knob{Cpuset, "/c/b/copy"}] = kernel[Knob{Cpuset, "/c/b"}] // the kernel makes one, or runc
	reconcile()
	if shrunk := kernel[Knob{Cpuset, "/c/b"}]; shrunk != "0" || kernel[Knob{Cpuset, "/c/b/own"}] != "0" {
		t.Errorf("while CPU 1 is held: %v", kernel)
	}
	ledger.Release(grant.Key)
	reconcile()
	for dir, want := range map[string]string{"/c/b": "0-1", "/c/b/own": "0", "/c/b/copy": "0-1"} {
		if now := kernel[Knob{Cpuset, dir}]; now != want {
			t.Errorf("afterwards %s has CPU %s, want %s", dir, now, want)
		}
	}
	if len(ledger.Baselines) > 0 {
		t.Errorf("still remembered: %v", ledger.Baselines)
	}
}

func TestPlanLeavesAloneWhatNobodyTouches(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0")}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "3"), IRQ: "away"})
	seen := Observation{Online: set(t, "0-3"), Masks: map[Knob]string{irqKnob(1): "0-1", irqKnob(2): "0-3"}}
	if plan := Plan(ledger, seen); len(plan) != 1 || plan[0].Name != "2" {
		t.Errorf("%+v", plan)
	}
}

// Both were made below a cpuset that was shrunk from 0-3 to 0-1. One copied it, the other asked for what is there.
func TestACopyOfAShrunkCpusetIsWidenedAndAChoiceIsNot(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{"cpuset:/c/a": "0-3"}}
	ledger.AddOrdinary(Ordinary{Key: Key{"/r", "chosen"}, Wanted: cpus(t, "0-1"), Bound: true, Cpuset: "/c/a/chosen"})
	masks := map[Knob]string{}
	for _, dir := range []string{"/c/a", "/c/a/copied", "/c/a/chosen"} {
		masks[Knob{Cpuset, dir}] = "0-1"
	}
	got := map[string]string{}
	for _, setting := range Plan(ledger, Observation{Online: set(t, "0-3"), Masks: masks}) {
		got[setting.Name] = setting.Want
	}
	if want := map[string]string{"/c/a": "0-3", "/c/a/copied": "0-3"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnInterruptThatAppearedSinceGetsBackWhatNewOnesGet(t *testing.T) {
	preset := Knob{Kind: IRQDefault}
	seen := Observation{Online: set(t, "0-3"), Masks: map[Knob]string{preset: "0-3", irqKnob(1): "0-1", irqKnob(2): "0-3"}}
	ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{}}
	ledger.NoteIRQs(seen)
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "2-3"), IRQ: "away"})
	ledger.Note(preset, "0-3")
	seen.Masks[preset], seen.Masks[irqKnob(2)], seen.Masks[irqKnob(3)] = "0-1", "0-1", "0-1"
	seen.Masks[irqKnob(4)], seen.Near = "1", map[Knob]cpuset.CPUSet{irqKnob(4): set(t, "1-2")}
	ledger.NoteIRQs(seen) // too late to count 3 among those from before
	ledger.Note(irqKnob(2), "0-3")
	ledger.Release(Key{"/r", "a"})
	got := map[string]string{}
	for _, setting := range Plan(ledger, seen) {
		got[setting.Name] = setting.Want
	}
	if want := map[string]string{"": "0-3", "2": "0-3", "3": "0-3", "4": "1-2"}; !maps.Equal(got, want) { // and 1 stays as it was
		t.Errorf("got %v, want %v", got, want)
	}
}

// 4-5 are a partition, and 6-7 are then taken at level cpuset: what a thread shows by then is not all that it had.
func TestAThreadMovedBesideAPartitionGetsAllBack(t *testing.T) {
	ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{}}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "partition"}, CPUs: cpus(t, "4-5"), Level: LevelPartition})
	knob := Knob{Thread, "1:24"}
	plan := func(now string) Setting {
		t.Helper()
		settings := Plan(ledger, Observation{Online: set(t, "0-7"), Threads: map[Knob]ThreadState{
			knob: {CPUs: set(t, now), Allowed: set(t, "0-7"), Loose: true},
		}})
		if len(settings) == 0 {
			return Setting{}
		}
		return settings[0]
	}
	if got := plan("0-3,6-7"); got.Want != "" {
		t.Errorf("beside the partition alone it is touched: %+v", got)
	}
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "cpuset"}, CPUs: cpus(t, "6-7"), Level: LevelCpuset})
	got := plan("0-3,6-7")
	if got.Baseline != "0-7" || got.Want != "0-3" {
		t.Errorf("beside both: %+v", got)
	}
	ledger.Note(knob, got.Baseline)
	ledger.Release(Key{"/r", "partition"})
	if got := plan("0-3"); got.Want != "0-5" {
		t.Errorf("without the partition: %+v", got)
	}
	ledger.Release(Key{"/r", "cpuset"})
	if got := plan("0-5"); got.Want != "0-7" {
		t.Errorf("without both: %+v", got)
	}
	// The kernel has made one of two partitions, and refused the other.
	ledger.Baselines = nil
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "half"}, CPUs: cpus(t, "4"), Idle: cpus(t, "5"), Level: LevelPartition})
	if got := plan("0-4,6-7"); got.Baseline != "0-7" || got.Want != "0-3,6-7" {
		t.Errorf("beside half a partition: %+v", got)
	}
}

// TestPlanOfBudgets draws the cgroup tree: /a/b/x and /a/c are containers' own, /a/other is somebody else's.
func TestPlanOfBudgets(t *testing.T) {
	ledger := &Ledger{Baselines: map[string]string{}}
	second := func(runtime int64) Budget { return Budget{runtime, 1000000} }
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "x"}, Budget: second(300000), Cgroups: Cgroups{Budgets: []string{"/a", "/a/b", "/a/b/x"}}})
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "c"}, Budget: Budget{2000, 10000}, Cgroups: Cgroups{Budgets: []string{"/a", "/a/c"}}})
	seen := Observation{Budgets: map[string]BudgetState{
		"/a": {second(0), 50000}, "/a/b": {second(0), 0}, "/a/b/x": {second(0), 0}, "/a/c": {Budget{0, 10000}, 0},
	}}
	text := func() (lines []string) {
		for _, s := range Plan(ledger, seen) {
			lines = append(lines, fmt.Sprintf("%s %s→%s", s.Name, s.Now, s.Want))
		}
		return lines
	}
	want := []string{"/a 0→550000", "/a/b 0→300000", "/a/c 0→2000", "/a/b/x 0→300000"}
	if got := text(); !slices.Equal(got, want) {
		t.Errorf("raised top-down:\n got %v\nwant %v", got, want)
	}
	// x ends without its cgroup being removed: its budget goes first, then those above shrink.
	for dir, runtime := range map[string]int64{"/a": 550000, "/a/b": 300000, "/a/b/x": 300000} {
		state := seen.Budgets[dir]
		state.Runtime = runtime
		seen.Budgets[dir] = state
		ledger.Baselines[Knob{RTBudget, dir}.String()] = "0"
	}
	state := seen.Budgets["/a/c"]
	state.Runtime = 2000
	seen.Budgets["/a/c"] = state
	ledger.Release(Key{"/r", "x"})
	want = []string{"/a/b/x 300000→0", "/a/b 300000→0", "/a/c 2000→2000", "/a 550000→250000"}
	if got := text(); !slices.Equal(got, want) {
		t.Errorf("lowered bottom-up:\n got %v\nwant %v", got, want)
	}
	// What an administrator had given /a in advance is enough: nothing to raise.
	ledger.Baselines[Knob{RTBudget, "/a"}.String()] = "900000"
	state = seen.Budgets["/a"]
	state.Runtime = 900000
	seen.Budgets["/a"] = state
	if got := text(); !slices.Contains(got, "/a 900000→900000") {
		t.Errorf("a budget given in advance: %v", got)
	}
}

// TestAnyOrderOfGrantsEndsAtTheBaseline: grants come and go at random, the kernel takes what it is told, sometimes a
// process is killed between two writes. At every rest the masks are the baseline less what is held, and at the end
// they are the baseline.
func TestAnyOrderOfGrantsEndsAtTheBaseline(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	kernel := map[Knob]cpuset.CPUSet{}
	for n := range 40 {
		mask := cpuset.New(random.IntN(16))
		for range random.IntN(20) {
			mask = mask.Union(cpuset.New(random.IntN(16)))
		}
		kernel[irqKnob(n)] = mask
	}
	baseline := map[Knob]cpuset.CPUSet{}
	for knob, mask := range kernel {
		baseline[knob] = mask
	}
	ledger := &Ledger{Housekeeping: cpus(t, "0-3"), Baselines: map[string]string{}}
	reconcile := func(stopAfter int) {
		masks := map[Knob]string{}
		for knob, mask := range kernel {
			masks[knob] = mask.String()
		}
		settings := Plan(ledger, Observation{Online: set(t, "0-15"), Masks: masks})
		for _, s := range settings { // all baselines before the first write
			if _, known := ledger.Baselines[s.Knob.String()]; !known && s.Differs() {
				ledger.Baselines[s.Knob.String()] = s.Baseline
			}
		}
		for i, s := range settings {
			if i == stopAfter {
				return
			}
			kernel[s.Knob] = set(t, s.Want)
			if s.Want == s.Baseline {
				delete(ledger.Baselines, s.Knob.String())
			}
		}
	}
	for step := range 500 {
		key := Key{"/r", strconv.Itoa(random.IntN(12))}
		if ledger.Grant(key) == nil {
			cpu := 4 + random.IntN(12)
			if !ledger.Held().Contains(cpu) {
				ledger.Add(Grant{Bound: true, Key: key, CPUs: CPUsOf(cpuset.New(cpu)), IRQ: "away"})
			}
		} else {
			ledger.Release(key)
		}
		if random.IntN(3) == 0 {
			reconcile(random.IntN(20))
		}
		reconcile(-1)
		for knob, mask := range kernel {
			want := lessTaken(baseline[knob], ledger.Held(), ledger.Housekeeping.Difference(ledger.Held()), set(t, "0-15"))
			if !mask.Equals(want) {
				t.Fatalf("step %d: %s is %s, want %s", step, knob, mask, want)
			}
		}
	}
	ledger.Grants = nil
	reconcile(-1)
	for knob, mask := range kernel {
		if !mask.Equals(baseline[knob]) {
			t.Errorf("%s ends as %s, was %s", knob, mask, baseline[knob])
		}
	}
	if len(ledger.Baselines) != 0 {
		t.Errorf("still remembered: %v", ledger.Baselines)
	}
}

func TestWhatWasShrunkGivesAGrantThatComesBelowItItsOwn(t *testing.T) {
	for _, c := range []struct{ kind, name, baseline, now, want string }{
		{"cpuset", "/cg/pods", "", "0-1", "0-2"},
		{"cpuset", "/cg/pods", "0-3", "0-1", "0-2"},
		{"cpuset", "/cg/other", "0-3", "0-1", "0-1"},
		{"cpuset", "/cg/pod", "0-3", "0-1", "0-1"},
		{"allowed-cpus", "pods.slice", "", "0-1", "0-1"},
	} {
		knob := Knob{Kind(c.kind), c.name}
		ledger := &Ledger{Housekeeping: cpus(t, "0-1"), Baselines: map[string]string{knob.String(): c.baseline}, Grants: []Grant{
			{Bound: true, Key: Key{"/r", "a"}, CPUs: cpus(t, "2"), Level: LevelCpuset, Cgroups: Cgroups{Cpuset: "/cg/pods/a"}},
			{Bound: true, Key: Key{"/r", "b"}, CPUs: cpus(t, "3"), Level: LevelCpuset, Cgroups: Cgroups{Cpuset: "/cg/b"}},
		}}
		plan := Plan(ledger, Observation{Online: set(t, "0-3"), Masks: map[Knob]string{knob: c.now}})
		if len(plan) != 1 || plan[0].Want != c.want {
			t.Errorf("%s: %+v, want %s", knob, plan, c.want)
		}
	}
}
