package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// onHousekeeping are the built-in classes with exec_cpus = "housekeeping" in fifo.
func onHousekeeping() map[string]Class {
	classes := BuiltinClasses()
	class := classes["fifo"]
	class.ExecCPUs = ExecOnHousekeeping
	classes["fifo"] = class
	return classes
}

func TestExecOnHousekeepingWidensTheCpusetAndNotTheGrant(t *testing.T) {
	topo := twoNodes(t)
	layout := layoutOf(t, topo, "auto")
	host := Host{Topology: topo, Level: LevelPartition, Cpusets: true}
	ledger := &Ledger{}
	for i, want := range []struct{ cpus, idle, exec, cpuset, text string }{
		{"1", "9", "0,8", "0-1,8", "1 (exec: 0,8)"},
		{"2", "10", "0,8", "0,2,8", "2 (exec: 0,8)"},
	} {
		name := string(rune('a' + i))
		grant, err := Decide(onHousekeeping(), layout, host, ledger, asks(name))
		if err != nil {
			t.Fatal(err)
		}
		got := struct{ cpus, idle, exec, cpuset, text string }{
			grant.CPUs.String(), grant.Idle.String(), grant.ExecCPUs.String(), grant.Cpuset().String(), grant.CPUsText(),
		}
		if got != want {
			t.Errorf("container %s: %+v, want %+v", name, got, want)
		}
		if held := grant.Held(); !held.Intersection(layout.Housekeeping.CPUSet).IsEmpty() {
			t.Errorf("container %s holds housekeeping CPUs: %s", name, held)
		}
		if grant.Level != LevelCpuset || grant.Partition != "" || !grant.RewritesExec() || !grant.Mems.Equals(set(t, "0")) {
			t.Errorf("container %s: level %s %s, nodes %s", name, grant.Level, grant.Partition, grant.Mems)
		}
		ledger.Add(grant) // whose exec is no hindrance for the next
	}
	grant, err := Decide(BuiltinClasses(), layout, host, ledger, asks("c"))
	if err != nil || !grant.ExecCPUs.IsEmpty() || !grant.Cpuset().Equals(grant.CPUs.CPUSet) || grant.Level != LevelPartition || grant.RewritesExec() {
		t.Errorf("without the option: %+v, %v", grant, err)
	}
	_, err = Decide(onHousekeeping(), layout, host, ledger, asks("d", "partition", "root"))
	want := "container d asks for a partition of type root; class fifo runs exec on housekeeping CPUs (exec_cpus), and a partition has no CPU but its own"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want …%s…", err, want)
	}
}

// The administrator edits [layout] while containers live.
func TestCPUsOfExecAreNobodysGrantUnderAnyLayout(t *testing.T) {
	topo := twoNodes(t)
	topo.Cores, topo.Nodes, topo.Online = nil, map[int]cpuset.CPUSet{0: set(t, "0-3")}, set(t, "0-3")
	for cpu := range 4 {
		topo.Cores = append(topo.Cores, cpuset.New(cpu))
	}
	host := Host{Topology: topo, Level: LevelCpuset, Cpusets: true}
	ledger := &Ledger{}
	first, err := Decide(onHousekeeping(), layoutOf(t, topo, "2-3"), host, ledger, asks("a"))
	if err != nil || first.Cpuset().String() != "0-2" {
		t.Fatalf("%+v, %v", first, err)
	}
	ledger.Add(first)
	wider := layoutOf(t, topo, "1-3")
	second, err := Decide(onHousekeeping(), wider, host, ledger, asks("b"))
	if err != nil || second.CPUs.String() != "3" || second.ExecCPUs.String() != "0" {
		t.Errorf("got CPU %s, %v", second.CPUsText(), err)
	}
	if _, err := Decide(onHousekeeping(), wider, host, ledger, asks("b", "cpuset", "1")); err == nil || !strings.Contains(err.Error(), "CPU 1 is taken") {
		t.Errorf("CPU 1, where exec into a runs: %v", err)
	}
	if _, err := Relocate(onHousekeeping(), wider, topo, ledger, first, cpus(t, "1")); err == nil || !strings.Contains(err.Error(), "CPU 1 is taken") {
		t.Errorf("a onto a CPU of its own exec: %v", err)
	}
	// What kept house is held by now.
	ledger.Add(Grant{Key: Key{ID: "c"}, Name: "c", CPUs: cpus(t, "0-1")})
	_, err = Decide(onHousekeeping(), layoutOf(t, topo, "2-3"), host, ledger, asks("d"))
	if err == nil || !strings.Contains(err.Error(), "runs exec on housekeeping CPUs (exec_cpus), and others hold all of them (0-1: c, 2: a)") {
		t.Error(err)
	}
}

func TestAThreadStraysWhereOnlyExecShouldRun(t *testing.T) {
	grant := Grant{CPUs: cpus(t, "2-3"), ExecCPUs: cpus(t, "0-1")}
	for _, c := range []struct {
		cpus     string
		realTime bool
		want     bool
	}{
		{"2-3", true, false}, {"3", false, false}, // its own
		{"0-1", false, false}, {"1", false, false}, // added by exec
		{"0-3", false, true}, {"1-2", false, true}, // reset by a kernel before 6.2
		{"0-3", true, true}, {"1", true, true}, // real-time work among the housekeeping
	} {
		if got := grant.Strays(set(t, c.cpus), c.realTime); got != c.want {
			t.Errorf("on CPU %s, real-time %v: %v", c.cpus, c.realTime, got)
		}
	}
	if (Grant{CPUs: cpus(t, "2-3")}).Strays(set(t, "0-3"), true) {
		t.Error("without CPUs of exec there is nowhere to stray")
	}
}

func TestAnUpdateKnowsTheCpusetFromTheGrant(t *testing.T) {
	grant := Grant{Name: "web", Class: "fifo", CPUs: cpus(t, "2"), ExecCPUs: cpus(t, "0")}
	for _, same := range []string{"", "2", "0,2"} {
		if _, moves, err := grant.Moves(Update{CPUs: same}); moves || err != nil {
			t.Errorf("CPU %q: %v, %v", same, moves, err)
		}
	}
	for _, other := range []string{"0", "2-3", "3"} {
		if err := grant.Accept(Update{CPUs: other}); err == nil || !strings.Contains(err.Error(), "it holds CPU 2 (exec: 0)") {
			t.Errorf("CPU %q: %v", other, err)
		}
	}
	topo := Topology{Online: set(t, "0-3"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-3")}}
	moved, err := Relocate(onHousekeeping(), layoutOf(t, topo, "1-3"), topo, &Ledger{Grants: []Grant{grant}}, grant, cpus(t, "3"))
	if err != nil || moved.Cpuset().String() != "0,3" || moved.CPUs.String() != "3" {
		t.Errorf("%s, %v", moved.CPUsText(), err)
	}
}
