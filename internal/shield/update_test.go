package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

func TestAnUpdateIsHeldToTheGrant(t *testing.T) {
	grant := Grant{
		Name: "web", Class: "fifo", Policy: FIFO, Priority: 50, CPUs: cpus(t, "2-3"), Mems: cpus(t, "0"),
		Asked: Asked{CPUs: "0-7", Mems: "0-1", Quota: 200000}, Budget: Budget{Runtime: 100000, Period: 1000000},
	}
	for _, fine := range []Update{
		{}, {CPUs: "2,3", Mems: "0"}, {CPUs: "0-7", Mems: "0-1", Quota: 200000}, {Quota: -1},
		{RTRuntime: 100000, RTPeriod: 1000000},
	} {
		if err := grant.Accept(fine); err != nil {
			t.Errorf("%+v: %v", fine, err)
		}
	}
	for _, wrong := range []struct {
		update Update
		word   string
	}{
		{Update{CPUs: "2"}, "holds CPU 2-3"}, {Update{CPUs: "0-6"}, "CPU 0-6"}, {Update{CPUs: "two"}, `"two"`}, {Update{Mems: "1"}, "node 1"},
		{Update{Mems: "one"}, `"one"`}, {Update{Quota: 100000}, "quota of 100000"}, {Update{RTRuntime: 1}, "budget of 1 µs"},
		{Update{RTPeriod: 1}, "period of 1 µs"}, {Update{Idle: 1}, "fifo 50"}, {Update{Other: []string{"cpuset.cpus.partition"}}, "cpuset.cpus.partition"},
	} {
		if err := grant.Accept(wrong.update); err == nil || !strings.Contains(err.Error(), wrong.word) || !strings.Contains(err.Error(), "web") {
			t.Errorf("%+v: %v, want a refusal of web with %q", wrong.update, err, wrong.word)
		}
	}
}

func TestAGrantMovesOnlyToWhatItCouldHaveHad(t *testing.T) {
	topo := Topology{
		Online: cpus(t, "0-7").CPUSet, Nodes: map[int]cpuset.CPUSet{0: cpus(t, "0-7").CPUSet},
		Cores: []cpuset.CPUSet{cpuset.New(0, 4), cpuset.New(1, 5), cpuset.New(2, 6), cpuset.New(3, 7)},
	}
	layout := layoutOf(t, topo, "auto")
	classes := BuiltinClasses()
	grant := Grant{Key: Key{ID: "a"}, Name: "a", Class: "fifo", SMT: SMTIsolate, CPUs: cpus(t, "1"), Idle: cpus(t, "5")}
	other := Grant{Key: Key{ID: "b"}, Name: "b", CPUs: cpus(t, "2"), Idle: cpus(t, "6")}
	ledger := &Ledger{Grants: []Grant{grant, other}}
	moved, err := Relocate(classes, layout, topo, ledger, grant, cpus(t, "3"))
	if err != nil || moved.CPUs.String() != "3" || moved.Idle.String() != "7" || moved.Asked.CPUs != "3" {
		t.Errorf("%+v, %v", moved, err)
	}
	// Onto its own idle sibling too: what it holds itself is in nobody's way.
	if moved, err := Relocate(classes, layout, topo, ledger, grant, cpus(t, "5")); err != nil || moved.Idle.String() != "1" {
		t.Errorf("%+v, %v", moved, err)
	}
	for to, word := range map[string]string{"2": "taken (2,6: b)", "6": "taken", "0": "not in the shield", "1,3,5-7": "at most 4", "": "no CPU", "3,7": "one core"} {
		if _, err := Relocate(classes, layout, topo, ledger, grant, cpus(t, to)); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("to %q: %v, want %q", to, err, word)
		}
	}
	grant.Move = &Move{CPUs: cpus(t, "3"), Idle: cpus(t, "7")}
	if held := grant.Held().String(); held != "1,3,5,7" {
		t.Errorf("on the way it holds %s", held)
	}
}
