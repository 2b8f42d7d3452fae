package hooks

import (
	"errors"
	"fmt"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// bind ties the grant to the container's first process, and finds its cgroups.
func (c call) bind(grant *shield.Grant) error {
	owner, cgroup, err := c.locate(grant.Pinned)
	if err != nil {
		return fmt.Errorf("container %s: %w", grant.Name, err)
	}
	grant.Owner, grant.Bound, grant.Cgroups.Cpuset = owner, true, cgroup
	if len(grant.Threads) > 0 {
		stat, err := task.Read(c.host, c.pid)
		if err != nil {
			return fmt.Errorf("container %s: %w", grant.Name, err)
		}
		grant.Starting = stat.Comm
	}
	if grant.Pinned || !grant.ExecCPUs.IsEmpty() {
		if err := c.pin(*grant); err != nil {
			return fmt.Errorf("container %s cannot have affinity %s: %w", grant.Name, grant.Home(), err)
		}
	}
	if grant.Level == shield.LevelPartition {
		if err := c.bindPartition(grant); err != nil {
			return err
		}
	}
	if err := c.bindBandwidth(grant); err != nil {
		return err
	}
	grant.Cgroups.Budgets, err = c.bindBudget(grant.Name, grant.Budget)
	return err
}

// bindBudget finds the directories that need a real-time budget, from right below the mount down to the container's own. None
// where the grant has no budget.
func (c call) bindBudget(name string, budget shield.Budget) ([]string, error) {
	if budget.Period == 0 {
		return nil, nil
	}
	cpu, found, err := c.host.Controller(c.pid, "cpu")
	if err != nil || !found {
		return nil, errors.Join(fmt.Errorf("container %s has no cpu cgroup", name), err)
	}
	chain, err := rt.Chain(c.host, cpu.Mount, cpu.Dir)
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("container %s runs in the root cgroup of the cpu controller, beside the whole host: let the engine give it a cgroup of its own", name)
	}
	// The period is the container's own and goes with its cgroup, so it is no knob. Only a request that names one
	// differs from the kernel's second.
	if _, period, err := rt.Budget(c.host, cpu.Dir); err != nil {
		return nil, err
	} else if period != budget.Period {
		return chain, rt.SetPeriod(c.host, cpu.Dir, budget.Period)
	}
	return chain, nil
}

// bindPartition finds the directories that lend the CPUs, from right below the mount down to the container's own.
func (c call) bindPartition(grant *shield.Grant) error {
	place, _, err := c.host.Controller(c.pid, "cpuset")
	if err != nil {
		return err
	}
	if grant.Cgroups.Cpuset != place.Dir {
		return fmt.Errorf("container %s: its cgroup %s has no cpuset controller", grant.Name, place.Dir)
	}
	grant.Cgroups.Partition = host.Ancestors(place.Mount, place.Dir)
	if grant.Local && len(grant.Cgroups.Partition) != 1 {
		return fmt.Errorf("container %s: its cgroup %s is not right below the root, where config.json puts it, and before Linux 6.7 it cannot be a partition there",
			grant.Name, place.Dir)
	}
	return nil
}

// pin keeps the container's first process, all threads of it, on its CPUs, where there is no cpuset for it or a wider one.
func (c call) pin(grant shield.Grant) error {
	tids, err := task.Threads(c.host, c.pid)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		now, err := reconcile.Pin(tid, grant)
		switch {
		case tid != c.pid && host.Gone(err):
		case err != nil:
			return err
		case !now.Equals(grant.Home().CPUSet):
			return fmt.Errorf("thread %d may run on CPU %q", tid, now)
		}
	}
	return nil
}

// locate finds the owner, and the directory that holds its cpuset; anyCgroup takes one of another controller too.
func (c call) locate(anyCgroup bool) (shield.Owner, string, error) {
	start, err := c.host.StartTime(c.pid)
	if err != nil {
		return shield.Owner{}, "", fmt.Errorf("pid %d: %w", c.pid, err)
	}
	place, found, err := c.host.Cgroup(c.pid)
	if err != nil {
		return shield.Owner{}, "", err
	}
	if !found {
		return shield.Owner{}, "", errors.New("this host has no cgroup controller: mount one")
	}
	dir := place.Dir
	if place.Unified && !anyCgroup {
		if dir, err = hostcpuset.Nearest(c.host, place.Dir, place.Mount); err != nil {
			return shield.Owner{}, "", err
		}
	}
	if dir == place.Mount {
		return shield.Owner{}, "", errors.New("it runs in the root cgroup, beside the whole host: let the engine give it a cgroup of its own")
	}
	return shield.Owner{PID: c.pid, Start: start}, dir, nil
}

// bindOrdinary notes where a cut container lives, and what it would have if nobody held anything.
func (c call) bindOrdinary(session *shield.Session, ordinary *shield.Ordinary) (reconcile.Report, error) {
	var report reconcile.Report
	owner, dir, err := c.locate(false)
	if err != nil {
		return report, err
	}
	ordinary.Owner, ordinary.Bound, ordinary.Cpuset = owner, true, dir
	if shared := ordinary.Shared; shared != nil {
		if shared.Budgets, err = c.bindBudget(ordinary.Name, shared.Budget); err != nil {
			return report, err
		}
	}
	now, err := hostcpuset.CPUs(c.host, dir)
	if err != nil {
		return report, err
	}
	wanted := ordinary.Wanted.CPUSet
	if wanted.IsEmpty() {
		if wanted, err = inherited(c.host, dir); err != nil {
			return report, err
		}
	}
	if !wanted.Equals(now) {
		session.Note(shield.Knob{Kind: shield.Cpuset, Name: dir}, wanted.String())
	}
	if err := c.disinherit(session.Ledger); err != nil {
		return report, fmt.Errorf("container %s: %w", ordinary.Name, err)
	}
	return reconcile.Run(c.host, session)
}

// disinherit gives the container's first process what the engine had before it had to make room. crun, and runc before 1.2.7,
// hand the engine's affinity on, as they do to this hook; cut by the container's cpuset it could not be recognized later.
func (c call) disinherit(ledger *shield.Ledger) error {
	mine, err := task.Affinity(0)
	had, narrowed := ledger.Had(mine)
	if err != nil || !narrowed {
		return err
	}
	tids, err := task.Threads(c.host, c.pid)
	for _, tid := range tids {
		err = errors.Join(err, reconcile.Widen(tid, had))
	}
	return err
}
