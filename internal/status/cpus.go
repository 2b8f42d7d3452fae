package status

import (
	"slices"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Use is what a CPU is for now.
type Use string

// The uses of CPUs. An idle one is a sibling that stays without work for the sake of a container.
const (
	Housekeeping Use = "housekeeping"
	Free         Use = "free"
	Granted      Use = "granted"
	Idle         Use = "idle"
	Offline      Use = "offline"
)

// Uses lists them all.
var Uses = []Use{Housekeeping, Free, Granted, Idle, Offline}

// CPU is one CPU of the host.
type CPU struct {
	CPU int `json:"cpu"`
	// Node is its NUMA node, Core the first online CPU of its core. Both are -1 where the kernel does not tell.
	Node int `json:"node"`
	Core int `json:"core"`
	Use  Use `json:"use"`
	// Holder is the container that has it, or that it stays idle for.
	Holder *Holder `json:"container,omitempty"`
}

// Holder names a container.
type Holder struct {
	shield.Key
	Name string `json:"name"`
}

// Map tells of each CPU of the host where it is and what it is for.
func Map(root host.Root, topo host.Topology, layout shield.Layout, grants []shield.Grant) ([]CPU, error) {
	if err := root.Cores(&topo, topo.Online); err != nil {
		return nil, err
	}
	offline, err := root.Offline(topo)
	if err != nil {
		return nil, err
	}
	all := map[int]*CPU{}
	for _, core := range topo.Cores {
		siblings := core.List()
		for _, cpu := range siblings {
			all[cpu] = &CPU{CPU: cpu, Node: host.NoNode, Core: siblings[0], Use: Housekeeping}
			if layout.Pool.Contains(cpu) {
				all[cpu].Use = Free
			}
		}
	}
	for node, members := range topo.Nodes {
		for _, cpu := range members.UnsortedList() {
			all[cpu].Node = node
		}
	}
	for cpu, node := range offline {
		all[cpu] = &CPU{CPU: cpu, Node: node, Core: -1, Use: Offline}
	}
	for i := range grants {
		hold(all, &grants[i])
	}
	list := make([]CPU, 0, len(all))
	for _, cpu := range all {
		list = append(list, *cpu)
	}
	slices.SortFunc(list, func(a, b CPU) int { return a.CPU - b.CPU })
	return list, nil
}

// hold notes what a grant holds, also what it moves to.
func hold(all map[int]*CPU, grant *shield.Grant) {
	holder := &Holder{grant.Key, grant.Name}
	own := grant.CPUs.CPUSet
	if grant.Move != nil {
		own = own.Union(grant.Move.CPUs.CPUSet)
	}
	for _, number := range grant.Held().UnsortedList() {
		cpu := all[number]
		if cpu == nil { // taken out of the machine
			continue
		}
		cpu.Holder = holder
		switch {
		case cpu.Use == Offline:
		case own.Contains(number):
			cpu.Use = Granted
		default:
			cpu.Use = Idle
		}
	}
}
