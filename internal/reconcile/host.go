package reconcile

import (
	"errors"
	"io/fs"
	"os"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

// Host gathers what a decision needs to know of the machine.
func Host(root host.Root) (shield.Host, error) {
	topo, err := root.Topology()
	if err != nil {
		return shield.Host{}, err
	}
	facts := shield.Host{Topology: shield.Topology(topo)}
	if place, found, err := root.Controller(os.Getpid(), "cpuset"); err != nil {
		return facts, err
	} else if found && place.Unified {
		facts.Partitions = cpuset.Partitions(root, place.Mount)
	}
	cpu, found, err := root.Controller(os.Getpid(), "cpu")
	if err != nil || !found || cpu.Unified {
		return facts, err
	}
	runtime, period, err := rt.Budget(root, cpu.Mount)
	if errors.Is(err, fs.ErrNotExist) { // without CONFIG_RT_GROUP_SCHED
		return facts, nil
	}
	facts.Budget = shield.Budget{Runtime: runtime, Period: period}
	return facts, err
}
