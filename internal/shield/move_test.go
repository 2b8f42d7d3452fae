package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// moving is a grant of core 4's first thread on a host with two threads a core.
func moving(t *testing.T) (Topology, Layout, *Ledger) {
	t.Helper()
	topo := twoNodes(t)
	ledger := &Ledger{}
	ledger.Add(Grant{
		Bound: true, Key: Key{"/r", "a"}, Name: "a", Class: "fifo", CPUs: cpus(t, "4"), Idle: cpus(t, "12"), Mems: cpus(t, "1"), SMT: SMTIsolate,
		Level: LevelPartition, Partition: Isolated, Cgroups: Cgroups{Partition: []string{"/c/p", "/c/p/a"}, Idle: "/c/idle"},
	})
	for _, dir := range []string{"/c/p", "/c/p/a", "/c/idle"} {
		ledger.Note(Knob{Exclusive, dir}, "")
		ledger.Note(Knob{Partition, dir}, Member)
	}
	return topo, layoutOf(t, topo, "1-7,9-15"), ledger
}

func TestAMoveIsHeldToTheRulesOfTheFirstChoice(t *testing.T) {
	topo, layout, ledger := moving(t)
	ledger.Add(Grant{Bound: true, Key: Key{"/r", "b"}, Name: "b", CPUs: cpus(t, "6"), Idle: cpus(t, "14")})
	classes := map[string]Class{"fifo": {Name: "fifo", MaxCPUs: 2}}
	for to, want := range map[string]string{
		"12": "", "1": "", "4-5": "", "0": "not in the shield", "6": "6,14: b", "14": "6,14: b", "4,12": "threads of one core", "1-3": "at most 2",
	} {
		moved, err := Relocate(classes, layout, topo, ledger, *ledger.Grant(Key{"/r", "a"}), cpus(t, to))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("to CPU %s: %v, want %q", to, err, want)
		case want == "" && (moved.CPUs.String() != to || moved.Asked.CPUs != to || !moved.Mems.Equals(topo.NodesOf(set(t, to)))):
			t.Errorf("to CPU %s: %+v", to, moved)
		}
	}
}

func TestAMoveIsHeldToTheNodeToo(t *testing.T) {
	topo, layout, ledger := moving(t)
	classes := map[string]Class{"fifo": {Name: "fifo", MaxCPUs: 2}}
	grant := *ledger.Grant(Key{"/r", "a"})
	grant.NUMA, grant.Near, grant.NearNodes = NUMASingle, "netdev eth1", cpus(t, "1")
	for to, want := range map[string]string{
		"5-6": "", "3-4": "asks for CPU 3-4, on nodes 0-1, but numa is single (class fifo)", "2": "on node 0, but near is netdev eth1, on node 1",
	} {
		if _, err := Relocate(classes, layout, topo, ledger, grant, cpus(t, to)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("to CPU %s: %v, want %q", to, err, want)
		}
	}
}

// To a sibling of its own CPU: the cgroup of idle siblings lets go of it before the container's takes it.
func TestWhileAContainerMovesNoCPUIsLentTwice(t *testing.T) {
	_, _, ledger := moving(t)
	for to, want := range map[string][2]string{"5": {"4-5", "12-13"}, "12": {"4,12", ""}} {
		grant := ledger.Grant(Key{"/r", "a"})
		idle := map[string]string{"5": "13", "12": "4"}[to]
		grant.Move = &Move{CPUs: cpus(t, to), Idle: cpus(t, idle)}
		if held := grant.Held(); !held.Equals(set(t, "4,12").Union(set(t, to)).Union(set(t, idle))) {
			t.Errorf("while it moves to %s it holds %s", to, held)
		}
		seen := Observation{Online: set(t, "0-15"), Partitions: map[string]PartitionState{
			"/c/p": {Exclusive: set(t, "4"), Type: Member}, "/c/p/a": {Exclusive: set(t, "4"), Type: Isolated},
			"/c/idle": {Exclusive: set(t, "12"), Type: Isolated},
		}}
		got := map[string]string{}
		released := false
		for _, s := range Plan(ledger, seen) {
			if s.Kind != Exclusive {
				continue
			}
			got[s.Name] = s.Want
			now, _ := cpuset.Parse(s.Now)
			if s.Name == "/c/idle" && !now.IsSubsetOf(set(t, s.Want)) {
				released = true
			} else if s.Name == "/c/p" && to == "12" && !released {
				t.Errorf("CPU %s is lent to the container before its idle sibling is let go", to)
			}
		}
		if got["/c/p/a"] != want[0] || got["/c/p"] != want[0] || got["/c/idle"] != want[1] {
			t.Errorf("while it moves to %s: %v, want %v", to, got, want)
		}
	}
}
