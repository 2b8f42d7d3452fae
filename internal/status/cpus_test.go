package status

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/machines"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestTheMapTellsOfEachCPUWhereItIsAndWhoseItIs(t *testing.T) {
	set := func(cpus ...int) shield.CPUs { return shield.CPUsOf(cpuset.New(cpus...)) }
	web := shield.Grant{Key: shield.Key{ID: "web"}, Name: "web", CPUs: set(2), Idle: set(6)}
	for _, c := range []struct {
		machine, pool string
		grants        []shield.Grant
		want          map[int]string
	}{
		{"offline-cpus", "", []shield.Grant{web}, map[int]string{
			0: "node 0 core 0 housekeeping", 4: "node 0 core 0 housekeeping", 1: "node 0 core 1 free", 2: "node 0 core 2 granted web",
			6: "node 0 core 2 idle web", 5: "node 0 core -1 offline", 7: "node 0 core -1 offline",
		}},
		{"offline-cpus", "", []shield.Grant{{Key: shield.Key{ID: "db"}, Name: "db", CPUs: set(1, 5, 99)}}, map[int]string{
			1: "node 0 core 1 granted db", 5: "node 0 core -1 offline db", 7: "node 0 core -1 offline",
		}},
		{"isolated-at-boot", "", []shield.Grant{{Key: web.Key, Name: "web", CPUs: set(4), Idle: set(12), Move: &shield.Move{CPUs: set(5), Idle: set(13)}}}, map[int]string{
			4: "node 0 core 4 granted web", 12: "node 0 core 4 idle web", 5: "node 0 core 5 granted web", 13: "node 0 core 5 idle web", 6: "node 0 core 6 free",
		}},
		// Granted before the layout was changed.
		{"raspberry-pi", "3", []shield.Grant{web}, map[int]string{1: "node 0 core 1 housekeeping", 2: "node 0 core 2 granted web", 3: "node 0 core 3 free"}},
		{"smt-off", "", nil, map[int]string{0: "node 0 core 0 housekeeping", 31: "node 1 core 31 free", 47: "node 0 core -1 offline", 48: "node 1 core -1 offline"}},
		{"power9", "", []shield.Grant{{Key: web.Key, Name: "web", CPUs: set(88), Idle: set(89, 90, 91)}}, map[int]string{
			3: "node 0 core 0 housekeeping", 88: "node 8 core 88 granted web", 91: "node 8 core 88 idle web",
		}},
	} {
		root := machines.Tree(t, c.machine)
		topo, err := root.Topology()
		if err != nil {
			t.Fatal(err)
		}
		layout, err := shield.NewLayout(shield.LayoutSpec{Shield: c.pool}, shield.Topology(topo))
		if err != nil {
			t.Fatal(err)
		}
		cpus, err := Map(root, topo, layout, c.grants)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]string{}
		for i, cpu := range cpus {
			text := fmt.Sprintf("node %d core %d %s", cpu.Node, cpu.Core, cpu.Use)
			if cpu.Holder != nil {
				text += " " + cpu.Holder.Name
			}
			got[cpu.CPU] = text
			if i > 0 && cpus[i-1].CPU >= cpu.CPU {
				t.Errorf("%s: CPU %d after CPU %d", c.machine, cpu.CPU, cpus[i-1].CPU)
			}
		}
		for cpu, want := range c.want {
			if got[cpu] != want {
				t.Errorf("%s: CPU %d is %q, want %q", c.machine, cpu, got[cpu], want)
			}
		}
	}
}

func TestTheMapIsWholeOnEveryMachine(t *testing.T) {
	for _, machine := range machines.Names(t) {
		root := machines.Tree(t, machine)
		topo, err := root.Topology()
		if err != nil {
			t.Fatal(err)
		}
		layout, err := shield.NewLayout(shield.LayoutSpec{}, shield.Topology(topo))
		if err != nil {
			t.Fatal(err)
		}
		cpus, err := Map(root, topo, layout, nil)
		if err != nil {
			t.Fatal(err)
		}
		uses := map[Use][]string{}
		for _, cpu := range cpus {
			uses[cpu.Use] = append(uses[cpu.Use], fmt.Sprint(cpu.CPU))
			if cpu.Use != Offline && (cpu.Node < 0 || cpu.Core < 0) {
				t.Errorf("%s: nobody knows where CPU %d is", machine, cpu.CPU)
			}
		}
		for use, want := range map[Use]shield.CPUs{Housekeeping: layout.Housekeeping, Free: layout.Pool} {
			if got, err := shield.ParseCPUs(strings.Join(uses[use], ",")); err != nil || !got.Equals(want.CPUSet) {
				t.Errorf("%s: %s are %s, want %s (%v)", machine, use, got, want, err)
			}
		}
	}
}
