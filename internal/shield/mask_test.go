package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// shared are the built-in classes with ordinary = "housekeeping" in fifo.
func shared() map[string]Class {
	classes := BuiltinClasses()
	class := classes["fifo"]
	class.Ordinary = OrdinaryHousekeeping
	classes["fifo"] = class
	return classes
}

// eightCPUs is a machine of one node without SMT.
func eightCPUs(t *testing.T) Topology {
	topo := Topology{Online: set(t, "0-7"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-7")}}
	for cpu := range 8 {
		topo.Cores = append(topo.Cores, cpuset.New(cpu))
	}
	return topo
}

func TestAMaskPartsTheContainersCPUs(t *testing.T) {
	topo := eightCPUs(t)
	layout := layoutOf(t, topo, "1-7")
	host := Host{Topology: topo, Level: LevelPartition, Cpusets: true}
	for _, c := range []struct {
		classes                                           map[string]Class
		cpus, byHand, mask                                string
		granted, ordinary, realTime, cpuset, level, limit string
	}{
		{BuiltinClasses(), "2", "", "^0", "1-2", "1", "2", "1-2", LevelPartition, ""},
		{BuiltinClasses(), "4", "", "^0-1", "1-4", "1-2", "3-4", "1-4", LevelPartition, ""},
		{BuiltinClasses(), "4", "", "^0 , ^3", "1-4", "1,4", "2-3", "1-4", LevelPartition, ""},
		{BuiltinClasses(), "4", "", "1-3,^2", "1-4", "1,3", "2,4", "1-4", LevelPartition, ""},
		{BuiltinClasses(), "4", "", "3", "1-4", "1-3", "4", "1-4", LevelPartition, ""},
		{BuiltinClasses(), "", "3,6-7", "^0", "3,6-7", "3", "6-7", "3,6-7", LevelPartition, ""},
		{shared(), "2", "", "^0", "1", "0", "1", "0-1", LevelCpuset, ""},
		{shared(), "4", "", "^1,^3", "1-2", "0", "1-2", "0-2", LevelCpuset, ""},
		{shared(), "", "0,3", "^0", "3", "0", "3", "0,3", LevelCpuset, ""},
	} {
		choices := []string{"realtime-mask", c.mask}
		if c.cpus != "" {
			choices = append(choices, "cpus", c.cpus)
		}
		if c.byHand != "" {
			choices = append(choices, "cpuset", c.byHand)
		}
		grant, err := Decide(c.classes, layout, host, &Ledger{}, asks("a", choices...))
		if err != nil {
			t.Errorf("%s %s: %v", c.cpus+c.byHand, c.mask, err)
			continue
		}
		got := []string{grant.CPUs.String(), grant.Ordinary.String(), grant.RealTimePart().String(), grant.Cpuset().String(), grant.Level}
		want := []string{c.granted, c.ordinary, c.realTime, c.cpuset, c.level}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s %s: %q, want %q", c.cpus+c.byHand, c.mask, got, want)
		}
		if grant.Policy != Other || grant.Priority != 0 || !grant.ExecCPUs.Equals(grant.Ordinary.CPUSet) || !grant.Home().Equals(grant.Ordinary.CPUSet) || !grant.RewritesExec() {
			t.Errorf("%s %s: policy %s, exec on %s, home %s", c.cpus+c.byHand, c.mask, grant.PolicyText(), grant.ExecCPUs, grant.Home())
		}
		if from := grant.ExecFrom(); !from.Equals(grant.Ordinary.Union(layout.Housekeeping.CPUSet)) {
			t.Errorf("%s %s: exec begins on %s", c.cpus+c.byHand, c.mask, from)
		}
		if held := grant.Held(); !held.Intersection(layout.Housekeeping.CPUSet).IsEmpty() {
			t.Errorf("%s %s: it holds housekeeping CPUs: %s", c.cpus+c.byHand, c.mask, held)
		}
	}
}

// Real-time budgets of cgroup v1 are for its threads, whatever its first process has.
func TestAMaskedContainerHasABudgetForItsThreads(t *testing.T) {
	topo := eightCPUs(t)
	host := Host{Topology: topo, Level: LevelCpuset, Cpusets: true, Budget: Budget{Runtime: 950000, Period: 1000000}}
	grant, err := Decide(shared(), layoutOf(t, topo, "1-7"), host, &Ledger{}, asks("a", "cpus", "2", "realtime-mask", "^0"))
	if err != nil || grant.Budget.Runtime != 135000 {
		t.Errorf("budget %+v, %v", grant.Budget, err)
	}
}

func TestAMaskThatCannotBeIsRefusedInOneLine(t *testing.T) {
	topo := eightCPUs(t)
	layout := layoutOf(t, topo, "1-7")
	all := &Ledger{Grants: []Grant{{Key: Key{ID: "b"}, Name: "b", CPUs: cpus(t, "0")}}}
	for _, c := range []struct {
		classes map[string]Class
		ledger  *Ledger
		request Request
		want    string
	}{
		{BuiltinClasses(), nil, asks("a", "realtime-mask", "^0"), `annotation rtshield.io/realtime-mask = "^0" leaves no real-time CPU of 1 CPU: ask for more CPUs (rtshield.io/cpus), or mask fewer`},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", "0-1"), "leaves no ordinary CPU: name one behind ^, or leave the mask out"},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", "^2"), "names position 2; the container has 2 CPUs: positions 0-1"},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", "^x"), `"^x": expected positions within the container's CPUs, ordinary ones behind ^, such as ^0 or ^0-1`},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", ""), `"": expected positions`},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", "^0-4294967295"), "expected positions"},
		{BuiltinClasses(), nil, asks("a", "cpus", "2", "realtime-mask", "^0", "policy", "other"), "divides a container of policy fifo or rr; class fifo gives this one other"},
		{BuiltinClasses(), nil, asks("a", "class", "deadline", "cpus", "2", "realtime-mask", "^0"), "class deadline gives this one deadline"},
		{shared(), nil, asks("a", "cpuset", "2-3", "realtime-mask", "^0"), `container a names CPU 2 for its ordinary part (realtime-mask ^0), and class fifo shares that with housekeeping CPUs 0 (ordinary): name one of these, or set ordinary = "dedicated"`},
		{shared(), nil, asks("a", "cpus", "2", "realtime-mask", "^0", "partition", "root"), "class fifo shares the ordinary part with housekeeping CPUs (ordinary), and a partition has no CPU but its own"},
		{shared(), all, asks("a", "cpus", "2", "realtime-mask", "^0"), `class fifo shares the ordinary part with housekeeping CPUs (ordinary), and others hold all of them (0: b): stop one, or set ordinary = "dedicated"`},
	} {
		if c.ledger == nil {
			c.ledger = &Ledger{}
		}
		_, err := Decide(c.classes, layout, Host{Topology: topo, Level: LevelPartition, Cpusets: true}, c.ledger, c.request)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v:\n got %v\nwant …%s…", c.request.Choices, err, c.want)
		}
	}
}

func TestAMaskThatPartsACoreIsALimit(t *testing.T) {
	topo := twoNodes(t)
	host := Host{Topology: topo, Level: LevelPartition, Cpusets: true}
	for mask, want := range map[string]string{
		"^0":    "real-time CPU 9 shares a core with ordinary CPU 1: realtime-mask ^0 parts threads of one core (mask whole cores, or smt isolate)",
		"^0,^2": "",
	} {
		grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "auto"), host, &Ledger{}, asks("a", "cpuset", "1,2,9,10", "smt", "require", "realtime-mask", mask))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, limit := range grant.Limits {
			got += limit.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", mask, got, want)
		}
	}
}

func TestAMaskedContainersThreadStraysFromThePartsOnly(t *testing.T) {
	for _, c := range []struct {
		ordinary, cpus string
		realTime, want bool
	}{
		{"0", "0", false, false}, {"0", "2", false, false}, {"0", "2", true, false},
		{"0", "0", true, true}, {"0", "0,2", true, true}, // real-time work among the housekeeping
		{"0", "0,2", false, true}, {"2", "2-3", false, true}, // both parts: reset by a kernel before 6.2
		{"2", "2", true, false}, {"2", "2-3", true, false}, // its own CPUs, its own affair
	} {
		grant := Grant{Mask: "^0", CPUs: cpus(t, "2-3"), Ordinary: cpus(t, c.ordinary), ExecCPUs: cpus(t, c.ordinary)}
		if got := grant.Strays(set(t, c.cpus), c.realTime); got != c.want {
			t.Errorf("ordinary part %s, on CPU %s, real-time %v: %v", c.ordinary, c.cpus, c.realTime, got)
		}
	}
}

func TestAMaskedContainerStaysWhereItIs(t *testing.T) {
	topo := eightCPUs(t)
	grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "1-7"), Host{Topology: topo, Cpusets: true}, &Ledger{}, asks("a", "cpus", "2", "realtime-mask", "^0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := grant.Accept(Update{CPUs: "1-2"}); err != nil {
		t.Error(err)
	}
	_, err = Relocate(BuiltinClasses(), layoutOf(t, topo, "1-7"), topo, &Ledger{Grants: []Grant{grant}}, grant, cpus(t, "5-6"))
	if err == nil || !strings.Contains(err.Error(), "container a cannot move to CPU 5-6: its threads have their CPUs by realtime-mask ^0: create it anew") {
		t.Error(err)
	}
}
