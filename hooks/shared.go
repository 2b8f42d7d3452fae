package hooks

import (
	"fmt"
	"slices"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// share gives a container without CPUs of its own the policy of its class, and the budget that takes, or takes all back.
func (c call) share(session *shield.Session, ordinary *shield.Ordinary) error {
	name := ordinary.Name
	report, err := c.bindOrdinary(session, ordinary)
	if err == nil {
		err = c.fulfilShared(session, name, report)
	}
	if err == nil {
		return nil
	}
	_ = sched.Set(c.pid, sched.Attr{})
	session.Release(c.key)
	if _, undoErr := reconcile.Run(c.host, session); undoErr != nil {
		return fmt.Errorf("%w; going back: %w", err, undoErr)
	}
	return err
}

func (c call) fulfilShared(session *shield.Session, name string, report reconcile.Report) error {
	ordinary := session.OrdinaryOf(c.key)
	if ordinary == nil {
		return fmt.Errorf("container %s ended while it was created", name)
	}
	grant := ordinary.Shared.Grant(c.key, name)
	if i := slices.IndexFunc(report.Refused, func(r reconcile.Refusal) bool { return grant.Needs(r.Knob) }); i >= 0 {
		return c.budgetError(name, report.Refused[i])
	}
	if err := c.setPolicy(grant); err != nil {
		return err
	}
	return c.checkPolicy(grant)
}
