package runtime

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// join lets a container run under its class's policy among all others, on CPUs that nobody holds. The hook sets the policy.
func (m *matter) join(store shield.Store) error {
	if err := m.survey(); err != nil {
		return err
	}
	session, err := open(store, "create of "+m.request.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	if session.Grant(m.request.Key) != nil || session.OrdinaryOf(m.request.Key) != nil {
		return fmt.Errorf("container with given ID already exists: %s", m.request.ID)
	}
	if len(session.Grants) == 0 {
		if err := reconcile.UnknownError(system, store, session.Ledger); err != nil {
			return err
		}
	}
	joined, err := m.joins(session.Ledger)
	if err != nil {
		return err
	}
	if err := mark(store); err != nil {
		return err
	}
	return m.enter(session, joined.wanted.CPUSet, &joined.Shared)
}

// Joined is what a container has that runs among others.
type Joined struct {
	shield.Shared
	// CPUs are those that nobody holds now.
	CPUs   shield.CPUs `json:"cpus"`
	wanted shield.CPUs
}

// joins decides, and edits the document in memory.
func (m *matter) joins(ledger *shield.Ledger) (*Joined, error) {
	shared, err := shield.ResolveShared(m.config.Classes, m.facts.Budget, ledger, m.request)
	if err != nil {
		return nil, err
	}
	asked, err := shield.ParseCPUs(m.request.CPUs)
	if err != nil {
		return nil, fmt.Errorf("container %s: linux.resources.cpu.cpus: %w", m.request.Name, err)
	}
	if !m.facts.Cpusets {
		return nil, fmt.Errorf("container %s cannot run among others (class %s, shared): this host has no cpuset controller that keeps it off CPUs which are not its own",
			m.request.Name, shared.Class)
	}
	wanted, available, taken := m.room(ledger, asked.CPUSet)
	joined := &Joined{Shared: shared, wanted: shield.CPUsOf(wanted)}
	if joined.CPUs, err = m.left(ledger, available, taken); err != nil {
		return nil, err
	}
	fairness, err := reconcile.Fairness(system, joined.CPUs.CPUSet)
	if err != nil {
		return nil, err
	}
	if err := shared.Fair(m.request.Name, fairness); err != nil {
		return nil, err
	}
	limits, _, err := rlimits(m.config.Classes[shared.Class], m.request)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", m.request.Name, err)
	}
	return joined, m.document.Join(shared, joined.CPUs, limits, m.hook)
}
