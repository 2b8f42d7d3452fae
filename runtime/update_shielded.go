package runtime

import (
	"errors"
	"fmt"

	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// shielded is the update of a container with a grant.
func (c *change) shielded(grant shield.Grant) (int, error) {
	to, moves, err := grant.Moves(c.asked)
	if err == nil && moves {
		if follow, err := c.follows(grant, to); err != nil {
			return 1, err
		} else if follow {
			return c.move(to)
		}
	}
	if err := grant.Accept(c.asked); err != nil {
		return 1, err
	}
	c.keep(grant)
	code, err := c.run()
	if err != nil || code != 0 {
		return code, err
	}
	return 0, c.holds(grant)
}

// holds reads back that the container has what it was granted. The delegate computes swap from the memory of the update.
func (c *change) holds(grant shield.Grant) error {
	if !grant.Bound || grant.Pinned {
		return nil
	}
	now, err := hostcpuset.CPUs(system, grant.Cgroups.Cpuset)
	if err != nil || !now.Equals(grant.Cpuset().CPUSet) {
		return errors.Join(fmt.Errorf("after the update container %s has CPU %q, and was granted %s", grant.Name, now, grant.CPUsText()), err)
	}
	if grant.Memory.Swap == "" {
		return nil
	}
	place, found, err := system.Controller(grant.Owner.PID, "memory")
	if err == nil && found {
		err = system.Write("0", place.Dir, grant.Memory.Swap)
	}
	if err != nil {
		return fmt.Errorf("after the update container %s may swap, though class %s keeps it from that: %w", grant.Name, grant.Class, err)
	}
	return nil
}

// move gives a container the CPUs that its engine has chosen for it now. The new ones are cleaned and read back before the
// container comes to them, and only then the old ones are let go.
func (c *change) move(to shield.CPUs) (int, error) {
	moved, err := c.clean(to)
	if err != nil {
		return 1, err
	}
	rest := c.asked
	rest.CPUs = ""
	if err := moved.Accept(rest); err != nil {
		return 1, errors.Join(err, c.settle(*moved))
	}
	c.keep(*moved)
	code, err := c.run()
	if err == nil && code == 0 {
		err = c.holds(*moved)
	}
	if err = errors.Join(err, c.settle(*moved)); err != nil && code == 0 {
		code = 1
	}
	return code, err
}

// clean claims the new CPUs beside the old ones, and gives the grant as it will be.
func (c *change) clean(to shield.CPUs) (*shield.Grant, error) {
	m := &matter{config: c.config}
	if err := m.survey(); err != nil {
		return nil, err
	}
	if err := reconcile.Inquire(system, &m.facts, m.layout, c.key.ID, shield.Terms{Explicit: to.CPUSet}); err != nil {
		return nil, err
	}
	session, err := open(c.store, "update of "+c.key.ID)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	grant := session.Grant(c.key)
	if grant == nil {
		return nil, fmt.Errorf("update of container %s: it ended meanwhile", c.key.ID)
	}
	moved, err := shield.Relocate(m.config.Classes, m.layout, m.facts.Topology, session.Ledger, *grant, to)
	if err != nil {
		return nil, err
	}
	owner, err := me()
	if err != nil {
		return nil, err
	}
	grant.Move = &shield.Move{CPUs: moved.CPUs, Idle: moved.Idle, Owner: owner}
	needs := *grant
	report, err := reconcile.Run(system, session)
	for _, refused := range report.Refused {
		if needs.Needs(refused.Knob) && err == nil {
			err = fmt.Errorf("container %s cannot have CPU %s: %w", grant.Name, to, refused.Err)
		}
	}
	if err != nil {
		if grant := session.Grant(c.key); grant != nil {
			grant.Move = nil
		}
		_, undoErr := reconcile.Run(system, session)
		return nil, errors.Join(err, undoErr)
	}
	return &moved, nil
}

// settle ends a move. The container is where its cgroup says: a delegate that fails may have come as far as that.
func (c *change) settle(moved shield.Grant) error {
	session, err := c.store.Open("update of " + c.key.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	grant := session.Grant(c.key)
	if grant == nil {
		return nil
	}
	grant.Move = nil
	if now, err := hostcpuset.CPUs(system, grant.Cgroups.Cpuset); err == nil && now.Equals(moved.Cpuset().CPUSet) {
		grant.CPUs, grant.Idle, grant.Mems, grant.Asked, grant.Start = moved.CPUs, moved.Idle, moved.Mems, moved.Asked, nil
	}
	if _, err := reconcile.Run(system, session); err != nil {
		return err
	}
	if grant = session.Grant(c.key); grant == nil {
		return nil
	}
	now, err := hostcpuset.Effective(system, grant.Cgroups.Cpuset)
	if err != nil || !now.Equals(grant.Cpuset().CPUSet) {
		return errors.Join(fmt.Errorf("after the update container %s may run on CPU %s, and was granted %s", grant.Name, now, grant.CPUsText()), err)
	}
	return nil
}
