package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/shield"
)

// Inquire adds to facts what the decision about one container takes, and no more: a big machine has a file for each CPU.
func Inquire(root host.Root, facts *shield.Host, layout shield.Layout, container string, terms shield.Terms) error {
	topo := host.Topology(facts.Topology)
	defer func() { facts.Topology = shield.Topology(topo) }()
	if !terms.Explicit.IsEmpty() {
		if err := root.Cores(&topo, terms.Explicit); err != nil {
			return err
		}
	} else if err := errors.Join(root.Cores(&topo, layout.Pool.CPUSet), root.Domains(&topo, layout.Pool.CPUSet)); err != nil {
		return err
	}
	if len(terms.Claim) > 0 {
		var err error
		if facts.Interrupts, err = irq.Names(root); err != nil {
			return err
		}
	}
	if terms.RTBandwidth > 0 && facts.Budget.Period == 0 {
		facts.NoFairServer = noFairServer(root, facts.Topology.Isolated, layout, terms)
	}
	if terms.Class.L3 > 0 {
		var err error
		if facts.Cache, err = Cache(root, layout.Pool.Union(terms.Explicit)); err != nil {
			return err
		}
	}
	if terms.Near == (shield.Near{}) {
		return nil
	}
	nodes, err := near(root, facts.Interrupts, terms)
	switch {
	case len(topo.Nodes) < 2 && (err == nil || errors.Is(err, errNoNode)): // everything is near
		return nil
	case err != nil:
		return fmt.Errorf("container %s asks to be near %s: %w", container, terms.Near, err)
	}
	facts.Near = nodes
	return nil
}

// noFairServer says why the CPUs that a container may get have no fair server, "" if they have.
func noFairServer(root host.Root, booted cpuset.CPUSet, layout shield.Layout, terms shield.Terms) string {
	own := terms.Explicit
	if own.IsEmpty() {
		own = layout.Pool.CPUSet
	}
	if isolated := own.Intersection(booted); !isolated.IsEmpty() { // seen on 6.12: it took 400 ms, and not 50 again
		return fmt.Sprintf("the kernel may not take back what it gives the fair server of a CPU of isolcpus= (%s)", isolated)
	}
	for _, cpu := range own.List() {
		if _, err := root.Read(power.FairServer(cpu)); err != nil {
			return power.NoFairServer(root).Error()
		}
	}
	return ""
}

var errNoNode = errors.New("this host's firmware does not tell which node that is on: choose CPUs there (cpuset), or leave near out")

// near gives the nodes of what a container wants to be near.
func near(root host.Root, interrupts map[int][]string, terms shield.Terms) (cpuset.CPUSet, error) {
	var nodes []int
	var err error
	add := func(node int, failed error) {
		if failed == nil && node < 0 {
			failed = errNoNode
		}
		nodes, err = append(nodes, node), errors.Join(err, failed)
	}
	switch terms.Near.Kind {
	case shield.NearNetdev:
		add(root.NetdevNode(terms.Near.Name))
	case shield.NearPCI:
		add(root.PCINode(terms.Near.Name))
	default:
		for _, number := range slices.Sorted(maps.Keys(interrupts)) {
			if err == nil && terms.Claims(interrupts[number]) {
				add(irq.Node(root, number))
			}
		}
	}
	return cpuset.New(nodes...), err
}
