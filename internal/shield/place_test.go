package shield

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// wide lets containers of class fifo ask for as many CPUs as a machine has.
func wide() map[string]Class {
	classes := BuiltinClasses()
	fifo := classes["fifo"]
	fifo.MaxCPUs = 512
	classes["fifo"] = fifo
	return classes
}

// ask is one request after the other on a machine; the last one is what is looked at.
type ask struct {
	machine string
	before  []string // cpusets that others have, with smt prefer
	choices string
	near    string
	want    string // "CPUs idle mems", or a part of the error
}

func (a ask) decide(t *testing.T) (Topology, Grant, error) {
	t.Helper()
	topo, layout := read(t, a.machine)
	ledger := &Ledger{}
	for i, list := range a.before {
		ledger.Add(Grant{Key: Key{ID: list}, Name: fmt.Sprint("rt-", i), SMT: SMTPrefer, CPUs: cpus(t, list)})
	}
	grant, err := Decide(wide(), layout, Host{Topology: topo, Near: set(t, a.near)}, ledger, asks("web", strings.Fields(a.choices)...))
	return topo, grant, err
}

func TestPlacementOnRealMachines(t *testing.T) {
	for _, a := range []ask{
		// Performance cores first, whole ones or one thread of each, then the efficiency cores, together.
		{machine: "desktop-hybrid", want: "2 3 0"},
		{machine: "desktop-hybrid", choices: "cpus 2 smt prefer", want: "2-3 - 0"},
		{machine: "desktop-hybrid", choices: "cpus 1 smt require", want: "16 - 0"}, // the only whole core of one thread
		{machine: "desktop-hybrid", choices: "cpus 9", want: "2,4,6,8,10,12,14,16-17 3,5,7,9,11,13,15 0"},
		{machine: "desktop-hybrid", choices: "cpus 12", want: "18 of 18 in the shield are free, but not as whole cores"},
		{machine: "laptop-low-power-island", choices: "cpus 6", want: "2,4,6,8,10,12 3,5,7,9,11 0"},
		{machine: "laptop-low-power-island", before: []string{"2-19"}, want: "20 - 0"},

		// One node, the fuller one, whatever its numbers; whole cores for several threads.
		{machine: "xeon-two-sockets", want: "1 49 0"}, // node 0 has less: it keeps house
		{machine: "xeon-two-sockets", choices: "cpus 23", want: "1-23 49-71 0"},
		{machine: "xeon-two-sockets", choices: "cpus 24", want: "24-47 72-95 1"},
		{machine: "xeon-two-sockets", choices: "cpus 25", want: "1-23,24-25 49-71,72-73 0-1"},
		{machine: "xeon-two-sockets", choices: "cpus 25 numa single", want: "but not on one node, which numa single wants"},
		{machine: "xeon-two-sockets", before: []string{"30-47,78-95"}, choices: "cpus 2 smt require", want: "24,72 - 1"},
		{machine: "xeon-two-sockets", choices: "cpus 3 smt require", want: "but not as whole cores, which smt require wants"},
		{machine: "xeon-interleaved", choices: "cpus 3", want: "2,4,6 42,44,46 0"},
		{machine: "xeon-interleaved", choices: "cpuset 2-3 numa single", want: "asks for CPU 2-3, on nodes 0-1, but numa is single (class fifo)"},
		{machine: "xeon-interleaved", choices: "cpuset 2-3", want: "2-3 42-43 0-1"},
		{machine: "xeon-interleaved", choices: "cpuset 3,43", want: "asks for CPUs 3,43, threads of one core, but smt is isolate (class fifo)"},
		{machine: "xeon-interleaved", before: []string{"43"}, choices: "cpuset 3", want: "sibling 43 is taken (43: rt-0)"},
		{machine: "xeon-interleaved", choices: "cpuset 3 smt require", want: "sibling 43 is missing"},

		// Next to a device.
		{machine: "xeon-two-sockets", near: "1", want: "24 72 1"},
		{machine: "xeon-two-sockets", near: "1", before: []string{"24-47"}, want: "1 49 0"},
		{machine: "xeon-two-sockets", near: "1", before: []string{"24-47"}, choices: "numa single", want: "but not on node 1"},
		{machine: "xeon-two-sockets", near: "1", choices: "cpuset 5 numa single", want: "asks for CPU 5, on node 0, but near is"},
		{machine: "xeon-two-sockets", near: "1", choices: "cpus 3 numa any", want: "24-26 72-74 1"},
		{machine: "arm-server", near: "3", before: []string{"96-127"}, want: "64 - 2"}, // the other die of its socket

		// With sub-NUMA clustering an L3 is of two nodes, and the nearest second node is on the same socket.
		{machine: "xeon-sub-numa", choices: "cpus 2", want: "1-2 41-42 0"},
		{machine: "xeon-sub-numa", choices: "cpus 12", want: "1-7,10-12,15-16 41-47,50-52,55-56 0-1"},

		// One L3 domain, the fullest that has room, and no more of them than needed.
		{machine: "epyc-two-sockets", want: "1 129 0"},
		{machine: "epyc-two-sockets", choices: "cpus 3", want: "1-3 129-131 0"},
		{machine: "epyc-two-sockets", choices: "cpus 4", want: "4-7 132-135 0"},
		{machine: "epyc-two-sockets", before: []string{"65,70"}, choices: "cpus 2", want: "1-2 129-130 0"},
		{machine: "epyc-two-sockets", before: []string{"1-63"}, choices: "cpus 6", want: "64-69 192-197 1"},
		{machine: "epyc-512", choices: "cpus 8", want: "8-15 264-271 0"},
		{machine: "epyc-512", choices: "cpus 12", want: "1-12 257-268 0"}, // two L3 domains of one die
		{machine: "epyc-512", before: []string{"1-7,17,33"}, choices: "cpus 2", want: "16,18 272,274 0"},

		// Memory of the nearest node where its own has none.
		{machine: "epyc-quadrants", choices: "cpuset 17", want: "17 49 0"},
		{machine: "epyc-quadrants", choices: "cpus 2 cpuset 17,9 smt prefer", want: "9,17 - 0-1"},

		// Clusters.
		{machine: "arm-server", want: "1 - 0"},
		{machine: "arm-server", choices: "cpus 4", want: "4-7 - 0"},
		{machine: "arm-server", before: []string{"4,8-9"}, choices: "cpus 2", want: "10-11 - 0"},
		{machine: "arm-server", choices: "cpus 5", want: "1-3,4-5 - 0"},
		{machine: "raspberry-pi", choices: "cpus 3", want: "1-3 - 0"},
		{machine: "raspberry-pi", choices: "smt require", want: "1 - 0"}, // without SMT all three are the same
		{machine: "big-little", want: "4 - 0"},
		{machine: "big-little", before: []string{"4"}, choices: "cpus 2", want: "6-7 - 0"},
		{machine: "big-little", choices: "cpus 5", want: "1,4-7 - 0"},
		{machine: "big-little-without-clusters", choices: "cpus 3", want: "1,4-5 - 0"},

		{machine: "offline-cpus", want: "1 - 0"}, // its sibling is offline
		{machine: "offline-cpus", choices: "cpus 2 smt require", want: "2,6 - 0"},
		{machine: "offline-cpus", choices: "cpuset 5", want: "CPU 5 is not in the shield (1-3,6)"},
		{machine: "one-cpu", want: "this host has no CPU to shield"},
		{machine: "smt-off", choices: "cpus 15 smt require", want: "1-15 - 0"},
		{machine: "vm-without-topology", choices: "cpus 3 smt require", want: "1-3 - 0"},
		{machine: "nothing-told", choices: "cpus 5 numa single", want: "1-5 - 0"},
		{machine: "isolated-at-boot", choices: "cpus 4", want: "2-5 10-13 0"},
		{machine: "isolated-at-boot", choices: "cpuset 1", want: "CPU 1 is not in the shield (2-7,10-15)"},
		{machine: "power9", want: "4 5-7 0"},
		{machine: "power9", choices: "cpus 8 smt require", want: "8-15 - 0"},
		{machine: "power9", choices: "cpus 6 smt prefer", want: "8-13 - 0"},
		{machine: "power9", choices: "cpus 88 smt prefer", want: "88-175 - 8"},
	} {
		_, grant, err := a.decide(t)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %s %s", grant.CPUs, dash(grant.Idle), grant.Mems)
			a.want = normal(t, a.want)
		}
		if err == nil && got != a.want || err != nil && !strings.Contains(got, a.want) {
			t.Errorf("%s, %v held, near %q: %s\n got %s\nwant %s", a.machine, a.before, a.near, a.choices, got, a.want)
		}
	}
}

func dash(cpus CPUs) string {
	if cpus.IsEmpty() {
		return "-"
	}
	return cpus.String()
}

// normal writes lists as the kernel does.
func normal(t *testing.T, want string) string {
	t.Helper()
	words := strings.Fields(want)
	for i, word := range words {
		if parsed, err := cpuset.Parse(word); err == nil {
			words[i] = parsed.String()
		}
	}
	return strings.Join(words, " ")
}

func TestAGrantFarFromWhatItWantsToBeNearSaysSo(t *testing.T) {
	topo, layout := read(t, "xeon-two-sockets")
	request := asks("web", "near", "netdev eth1")
	ledger := &Ledger{Grants: []Grant{{CPUs: cpus(t, "24-47")}}}
	grant, err := Decide(wide(), layout, Host{Topology: topo, Near: set(t, "1")}, ledger, request)
	if err != nil || len(grant.Limits) != 1 || grant.Limits[0].String() != "it is not near netdev eth1: that is on node 1, and CPU 1 on node 0 (numa single refuses such CPUs)" {
		t.Errorf("%v, %v", grant.Limits, err)
	}
}

func TestWhyAPlaceWonIsTold(t *testing.T) {
	for _, c := range []struct {
		ask  ask
		want []string
	}{
		{ask{machine: "xeon-two-sockets"}, []string{"node 0, fewest CPUs left free on the node (0: 44; 1: 46)"}},
		{ask{machine: "xeon-two-sockets", near: "1"}, []string{"node 1, nearest (1: 0; 0: 11)"}},
		{ask{machine: "epyc-quadrants", before: []string{"16"}, choices: "cpus 2"}, []string{
			"node 0, fewest CPUs left free on the node (0: 10; 2: 11; 1: 12; 3: 12)",
			"L3 domain 2-3,34-35, first of equals (2-3,34-35; 4-5,36-37; 6-7,38-39)",
		}},
		{ask{machine: "raspberry-pi"}, nil},
		{ask{machine: "epyc-512", choices: "cpus 12"}, []string{
			"node 0, fewest CPUs left free on the node (0: 230; 1: 232)",
			"die 0-15,256-271, fewest CPUs left free in the L3 domain (0-15,256-271: 6; 16-31,272-287: 8; 32-47,288-303: 8; 48-63,304-319: 8; 64-79,320-335: 8; 80-95,336-351: 8; and 2 more)",
		}},
	} {
		topo, grant, err := c.ask.decide(t)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, places := range grant.Places(topo) {
			got = append(got, places.String())
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s %s:\n got %q\nwant %q", c.ask.machine, c.ask.choices, got, c.want)
		}
	}
}

func TestWhatToBeNearIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"netdev eth1": "netdev eth1", "pci 0000:3b:00.0": "pci 0000:3b:00.0", "pci 3B:00.0": "pci 0000:3b:00.0", "irq-claim": "irq-claim", "": "",
		"netdev ../../x": "-", "netdev ..": "-", "netdev": "-", "netdev a/b": "-", "netdev a b": "-", "pci x": "-", "pci 0000:3b:00.8": "-", "irq-claim eth1": "-", "gpu 0": "-",
		"netdev sixteenlettersxx": "-", "pci ../0000:3b:00.0": "-",
	} {
		near, err := ParseNear(text)
		if got := near.String(); want == "-" && err == nil || want != "-" && (err != nil || got != want) {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
	if _, err := Resolve(wide(), asks("a", "near", "irq-claim")); err == nil || !strings.Contains(err.Error(), "claims no interrupt") {
		t.Error(err)
	}
	classes := wide()
	fifo := classes["fifo"]
	fifo.Near = Near{Kind: NearClaim}
	classes["fifo"] = fifo
	if terms, err := Resolve(classes, asks("a")); err != nil || terms.Near != (Near{}) {
		t.Errorf("a container that claims nothing, in a class for those that do: %v, %v", terms.Near, err)
	}
}

// A sibling that was offline when the container got its CPU, and is back.
func TestASiblingThatComesOnlineBesideAnIsolatedThreadIsNobodys(t *testing.T) {
	topo, layout := read(t, "xeon-two-sockets")
	ledger := &Ledger{Grants: []Grant{{Name: "rt", SMT: SMTIsolate, CPUs: cpus(t, "1")}}}
	if _, err := Decide(wide(), layout, Host{Topology: topo}, ledger, asks("web", "cpuset", "49", "smt", "prefer")); err == nil || !strings.Contains(err.Error(), "CPU 49 is taken (1: rt)") {
		t.Error(err)
	}
	grant, err := Decide(wide(), layout, Host{Topology: topo}, ledger, asks("web", "smt", "prefer"))
	if err != nil || grant.CPUs.Contains(49) {
		t.Errorf("CPU %s, %v", grant.CPUs, err)
	}
}

// could says, without the placer, whether free CPUs have room for a request.
func could(topo Topology, free cpuset.CPUSet, terms Terms) bool {
	places := []cpuset.CPUSet{topo.Online}
	if terms.NUMA == NUMASingle {
		places = nil
		for _, members := range topo.Nodes {
			places = append(places, members)
		}
	}
	for _, place := range places {
		ones, twos, fours := 0, 0, 0
		for _, core := range topo.Cores {
			if !core.IsSubsetOf(place) {
				continue
			}
			switch open := core.Intersection(free); {
			case terms.SMT == SMTPrefer:
				ones += open.Size()
			case !open.Equals(core):
			case terms.SMT == SMTIsolate || core.Size() == 1:
				ones++
			case core.Size() == 2:
				twos++
			default:
				fours++
			}
		}
		for four := range fours + 1 {
			for two := range twos + 1 {
				if rest := terms.Count - 4*four - 2*two; rest >= 0 && rest <= ones {
					return true
				}
			}
		}
	}
	return false
}

// Whatever comes and goes: no CPU has two owners or keeps house, what smt and numa promise holds, and nobody is refused
// who could have had it.
func TestWhateverComesAndGoesTheRulesHold(t *testing.T) {
	const sequences, steps = 30, 25
	for _, name := range []string{
		"desktop-hybrid", "laptop-low-power-island", "xeon-sub-numa", "epyc-quadrants", "smt-off", "raspberry-pi", "big-little", "offline-cpus", "one-cpu",
		"vm-without-topology", "nothing-told", "isolated-at-boot", "power9",
	} {
		topo, layout := read(t, name)
		for seed := range uint64(sequences) {
			random := rand.New(rand.NewPCG(seed, 0))
			pick := func(words ...string) string { return words[random.IntN(len(words))] }
			ledger := &Ledger{}
			for step := range steps {
				if n := len(ledger.Grants); n > 0 && random.IntN(3) == 0 {
					ledger.Release(ledger.Grants[random.IntN(n)].Key)
				}
				terms := Terms{Count: 1 + random.IntN(8), SMT: pick(SMTIsolate, SMTRequire, SMTPrefer), NUMA: pick(NUMASingle, NUMAPrefer, NUMAAny)}
				request := asks(fmt.Sprint(step), "cpus", fmt.Sprint(terms.Count), "smt", terms.SMT, "numa", terms.NUMA)
				free := layout.Pool.Difference(takenBy(topo, ledger.Grants))
				if random.IntN(5) == 0 {
					request.Choices["cpuset"] = Choice{cpuset.New(random.IntN(topo.Online.Size()), random.IntN(topo.Online.Size())).String(), "cpuset"}
					delete(request.Choices, "cpus")
				}
				grant, err := Decide(wide(), layout, Host{Topology: topo}, ledger, request)
				if err != nil {
					if _, byHand := request.Choices["cpuset"]; !byHand && could(topo, free, terms) {
						t.Fatalf("%s, seed %d, step %d: %v, though CPU %s is free", name, seed, step, err, free)
					}
					continue
				}
				if broken := rules(topo, layout, free, grant); broken != "" {
					t.Fatalf("%s, seed %d, step %d: %s of CPU %s: CPU %s, idle %s: %s", name, seed, step, request.Choices, free, grant.CPUs, grant.Idle, broken)
				}
				ledger.Add(grant)
			}
		}
	}
}

// rules says which rule a grant breaks, "" for none.
func rules(topo Topology, layout Layout, free cpuset.CPUSet, grant Grant) string {
	siblings := topo.Siblings(grant.CPUs.CPUSet).Difference(grant.CPUs.CPUSet)
	switch {
	case !grant.Held().IsSubsetOf(free):
		return "somebody else's"
	case !grant.Held().Intersection(layout.Housekeeping.CPUSet).IsEmpty():
		return "keeps house"
	case grant.SMT == SMTIsolate && !siblings.Equals(grant.Idle.CPUSet), grant.SMT != SMTIsolate && !grant.Idle.IsEmpty():
		return "idle siblings"
	case grant.SMT == SMTRequire && !siblings.IsEmpty():
		return "half a core"
	case grant.NUMA == NUMASingle && topo.NodesOf(grant.CPUs.CPUSet).Size() > 1:
		return "two nodes"
	case !grant.Mems.Equals(topo.MemoryOf(grant.CPUs.CPUSet)):
		return "memory"
	}
	if grant.SMT == SMTIsolate {
		for _, core := range topo.Cores {
			if core.Intersection(grant.CPUs.CPUSet).Size() > 1 {
				return "two threads of a core"
			}
		}
	}
	return ""
}
