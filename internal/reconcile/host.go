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

// Host gathers what a layout and the levels rest on. Inquire adds what the decision about one container takes.
func Host(root host.Root) (shield.Host, error) {
	topo, err := root.Topology()
	if err != nil {
		return shield.Host{}, err
	}
	facts := shield.Host{Topology: shield.Topology(topo)}
	if err := levels(root, &facts); err != nil {
		return facts, err
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

// levels finds out what the cgroups of this host can do for a grant.
func levels(root host.Root, facts *shield.Host) error {
	place, found, err := root.Controller(os.Getpid(), "cpuset")
	if err != nil {
		return err
	}
	able := cpuset.Ability{Cpusets: found}
	if found && place.Unified {
		able = cpuset.Probe(root, place.Mount)
	}
	facts.Cpusets, facts.Local = able.Cpusets, able.Partitions && !able.Remote
	switch {
	case !able.Cpusets:
		facts.Level, facts.Weaker = shield.LevelAffinity, "this host has no cpuset cgroup controller"
	case !able.Partitions:
		facts.Level, facts.Weaker = shield.LevelCpuset, "a partition takes cgroup v2 and Linux 6.7"
	default:
		facts.Level = shield.LevelPartition
	}
	return nil
}
