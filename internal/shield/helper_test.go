package shield

import (
	"errors"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/machines"
)

func set(t testing.TB, list string) cpuset.CPUSet {
	t.Helper()
	parsed, err := cpuset.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func cpus(t testing.TB, list string) CPUs { t.Helper(); return CPUsOf(set(t, list)) }

// twoCPUs is the machine that this is developed on: two cores without SMT.
func twoCPUs(t *testing.T) Topology {
	return Topology{
		Online: set(t, "0-1"), Cores: []cpuset.CPUSet{set(t, "0"), set(t, "1")}, Nodes: map[int]cpuset.CPUSet{0: set(t, "0-1")},
	}
}

// twoNodes is a two-socket server with SMT, numbered as Intel's are: 4 cores on each node, siblings 8 apart.
func twoNodes(t testing.TB) Topology {
	topo := Topology{Online: set(t, "0-15"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-3,8-11"), 1: set(t, "4-7,12-15")}}
	for core := range 8 {
		topo.Cores = append(topo.Cores, cpuset.New(core, core+8))
	}
	return topo
}

func layoutOf(t testing.TB, topo Topology, shield string) Layout {
	t.Helper()
	layout, err := NewLayout(LayoutSpec{Shield: shield}, topo)
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

func asks(name string, choices ...string) Request {
	request := Request{Key: Key{Root: "/run/runc", ID: name}, Name: name, Choices: Choices{"class": {"fifo", "rtshield.io/class"}}}
	for i := 0; i < len(choices); i += 2 {
		request.Choices[choices[i]] = Choice{choices[i+1], Domain + "/" + choices[i]}
	}
	return request
}

// read reads one of internal/host/machines as create does, with the automatic layout.
func read(t testing.TB, name string) (Topology, Layout) {
	t.Helper()
	root := machines.Tree(t, name)
	topo, err := root.Topology()
	if err := errors.Join(err, root.Cores(&topo, topo.Online), root.Domains(&topo, topo.Online)); err != nil {
		t.Fatal(err)
	}
	layout, err := NewLayout(LayoutSpec{}, Topology(topo))
	if err != nil {
		t.Fatal(err)
	}
	return Topology(topo), layout
}
