package hooks

import (
	"errors"
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
)

// createRuntime makes a grant real. The container's first process exists, waits in its cgroup, and has not started any
// code of the user's. On any failure the grant is released and its knobs go back, and the delegate makes the container
// fail with our line.
func (c call) createRuntime() error {
	session, err := c.store.Open("hook createRuntime of " + c.key.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	if ordinary := session.OrdinaryOf(c.key); ordinary != nil {
		if ordinary.Shared != nil {
			return c.share(session, ordinary)
		}
		_, err := c.bindOrdinary(session, ordinary)
		return err
	}
	grant := session.Grant(c.key)
	if grant == nil {
		return fmt.Errorf("container %s has no grant in the ledger of %s: create it through rtshield", c.key.ID, c.store.Dir)
	}
	if err = c.fulfil(session, grant); err == nil {
		err = watch.Ensure(c.store, session.Ledger)
	}
	if err == nil {
		return nil
	}
	// A real-time task would hold the budget of its cgroup (EBUSY) until the delegate has killed it.
	_ = sched.Set(c.pid, sched.Attr{})
	if grant := session.Grant(c.key); grant != nil {
		_ = reconcile.Retire(c.host, *grant)
		reconcile.Unmark(c.host, *grant)
	}
	session.Release(c.key)
	if _, undoErr := reconcile.Run(c.host, session); undoErr != nil {
		return fmt.Errorf("%w; going back: %w", err, undoErr)
	}
	return err
}

// fulfil keeps the promises of a grant in the order in which they depend on each other.
func (c call) fulfil(session *shield.Session, grant *shield.Grant) error {
	if err := c.bind(grant); err != nil {
		return err
	}
	if err := c.settleCPUs(*grant); err != nil {
		return err
	}
	if err := c.checkMemory(*grant); err != nil {
		return err
	}
	reconcile.Mark(c.host, c.store, *grant)
	// Run saves before it touches the first knob, so that whoever comes after a crash finds whose they are. It may move
	// the grant in the ledger.
	name, bound := grant.Name, *grant
	report, err := reconcile.Run(c.host, session)
	if err != nil {
		return err
	}
	for _, refused := range report.Refused {
		// One that the kernel manages itself may be on the container's CPUs already.
		if refused.For == c.key && !shield.Reaching(bound.CPUs.CPUSet)(refused.Now) {
			return fmt.Errorf("container %s claims irq %s, which arrives on CPU %s: %s: choose CPUs there (rtshield.io/cpuset), or leave it out",
				name, refused.Name, refused.Now, reconcile.Reason(refused.Err))
		}
		if !bound.Needs(refused.Knob) {
			continue
		}
		switch refused.Kind {
		case shield.RTBudget:
			return c.budgetError(name, refused)
		case shield.FairServer:
			return fmt.Errorf("container %s cannot have rt-bandwidth %s: the fair server of CPU %s cannot keep %s ns of each period for ordinary threads: %w",
				name, bound.RTBandwidth, refused.Name, refused.Want, refused.Err)
		case shield.L3Ways:
			return fmt.Errorf("container %s cannot have the ways %s of the L3 alone: %w", name, bound.Ways, refused.Err)
		case shield.HugePagePool:
			return c.pagesError(name, refused)
		case shield.Exclusive, shield.Partition:
			return fmt.Errorf("container %s cannot have CPUs %s as a partition: %w (rtshield.io/partition: none does without)", name, bound.CPUs, refused.Err)
		}
	}
	grant = session.Grant(c.key)
	if grant == nil {
		return fmt.Errorf("container %s ended while it was created", name)
	}
	if grant.Level == shield.LevelPartition {
		if err := c.checkCPUs(*grant); err != nil {
			return err
		}
	}
	if err := c.checkHugePages(session, *grant); err != nil {
		return err
	}
	if err := reconcile.CheckWays(c.host, *grant, c.pid); err != nil {
		return err
	}
	if err := c.setPolicy(*grant); err != nil {
		return err
	}
	return c.checkPolicy(*grant)
}

func (c call) budgetError(name string, refused reconcile.Refusal) error {
	return fmt.Errorf("container %s needs %s µs of real-time budget in cgroup %s (RT_GROUP_SCHED), which has %s; the kernel refused (%w): lower the budgets of its siblings, or raise kernel.sched_rt_runtime_us",
		name, refused.Want, refused.Name, refused.Now, refused.Err)
}

// poststart reads everything back once more: runc until 1.5 calls it before the user's program starts, later ones and
// crun after. A program that has already ended is none of our business.
func (c call) poststart() error {
	ledger, err := c.store.Peek()
	if err != nil {
		return err
	}
	grant := ledger.Grant(c.key)
	if grant == nil {
		if _, err := c.host.StartTime(c.pid); err != nil {
			return nil
		}
		return fmt.Errorf("container %s runs, but its grant is gone from the ledger of %s", c.key.ID, c.store.Dir)
	}
	err = errors.Join(c.checkCPUs(*grant), c.checkPolicy(*grant))
	if err != nil && !c.host.Alive(grant.Owner.PID, grant.Owner.Start) {
		return nil
	}
	return err
}

// poststop releases what the container had. The delegate has already removed its cgroup, and an error of ours would only
// make its delete fail for a container that is gone: what is left over is picked up, and reported, by whoever opens the
// ledger next.
func (c call) poststop() error {
	if err := reconcile.ReleaseHeld(c.host, c.store, c.key); err != nil {
		fmt.Fprintln(os.Stderr, "rtshield:", err)
	}
	return nil
}
