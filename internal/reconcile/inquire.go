package reconcile

import (
	"errors"
	"fmt"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
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
	if terms.Near == (shield.Near{}) || len(topo.Nodes) < 2 {
		return nil
	}
	nodes, err := near(root, facts.Interrupts, terms)
	if err != nil {
		return fmt.Errorf("container %s asks to be near %s: %w", container, terms.Near, err)
	}
	facts.Near = nodes
	return nil
}

var errNoNode = errors.New("this host's firmware does not tell which node that is on: choose CPUs there (cpuset), or leave near out")

// near gives the nodes of what a container wants to be near.
func near(root host.Root, interrupts map[int][]string, terms shield.Terms) (cpuset.CPUSet, error) {
	var nodes []int
	add := func(node int, err error) error {
		if err == nil && node < 0 {
			err = errNoNode
		}
		nodes = append(nodes, node)
		return err
	}
	var err error
	switch terms.Near.Kind {
	case shield.NearNetdev:
		err = add(root.NetdevNode(terms.Near.Name))
	case shield.NearPCI:
		err = add(root.PCINode(terms.Near.Name))
	default:
		for number, names := range interrupts {
			if terms.Claims(names) && err == nil {
				err = add(irq.Node(root, number))
			}
		}
	}
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return cpuset.New(nodes...), nil
}
