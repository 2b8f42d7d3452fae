package runtime

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rtshield/rtshield/internal/privilege"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// create prepares the bundle of create, run and restore, and becomes the delegate. It returns only with an error, and
// then nothing has changed.
func create(inv argv.Invocation) error {
	if err := privilege.Shield(); err != nil {
		return rootless(inv, err)
	}
	m, err := gather(inv.Bundle, inv.Root, inv.ID, linkClass(inv.Argv[0]))
	if m != nil && (inv.Verb != "run" || inv.Detach) { // else the delegate itself waits for the container
		m.helper = os.Getppid()
	}
	if errors.Is(err, errNothing) {
		return delegate.PassOn(inv.Argv)
	}
	if err != nil {
		return err
	}
	if err := delegate.Point(m.delegate); err != nil {
		return fmt.Errorf("kill and delete would not find the delegate %s: %w", m.delegate, err)
	}
	store, err := m.store()
	if err != nil {
		return err
	}
	if err := m.replaceNote(store); err != nil {
		return err
	}
	switch {
	case m.request.Shared:
		err = m.join(store)
	case m.request.Asks():
		err = m.admit(store)
	default:
		err = m.keepOff(store)
	}
	if err != nil {
		return err
	}
	err = m.limit(store)
	if m.thpOff {
		err = errors.Join(err, withoutTHP())
	}
	if m.ksmOff {
		err = errors.Join(err, withoutKSM())
	}
	if err = errors.Join(err, m.document.Save()); err == nil {
		err = delegate.Become(m.delegate, inv.Argv)
	}
	if m.noted {
		err = errors.Join(err, store.DropLimited(m.request.Key))
	}
	return errors.Join(err, reconcile.ReleaseHeld(system, store, m.request.Key))
}

// rootless creates a container where nobody can be shielded: one that asks for it is told why, and any other is the
// delegate's, without a look at the policy file, which may be root's alone to read.
func rootless(inv argv.Invocation, why error) error {
	document, err := spec.Load(inv.Bundle)
	if err == nil {
		request, err := document.Request(shield.Key{ID: inv.ID}, linkClass(inv.Argv[0]))
		if err != nil {
			return fmt.Errorf("container %s: %w", request.Name, err)
		}
		if request.Asks() {
			return fmt.Errorf("container %s asks for a shield, but %w", request.Name, why)
		}
		if err := limitRootless(document, request); err != nil {
			return fmt.Errorf("container %s: %w", request.Name, err)
		}
	}
	return delegate.PassOn(inv.Argv)
}

// admit gives the container its grant, on paper: the createRuntime hook makes it real.
func (m *matter) admit(store shield.Store) error {
	if err := m.inquire(); err != nil {
		return err
	}
	session, err := open(store, "create of "+m.request.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	if session.Grant(m.request.Key) != nil {
		return fmt.Errorf("container with given ID already exists: %s", m.request.ID)
	}
	if len(session.Grants) == 0 {
		if err := reconcile.UnknownError(system, store, session.Ledger); err != nil {
			return err
		}
	}
	grant, err := m.grant(session.Ledger)
	if err != nil {
		return errors.Join(err, session.Save())
	}
	if grant.Owner, err = me(); err != nil {
		return err
	}
	if start, err := system.StartTime(m.helper); err == nil && m.helper > 1 {
		grant.Helper = shield.Owner{PID: m.helper, Start: start}
	}
	grant.Created = time.Now().UTC().Truncate(time.Second)
	session.Housekeeping, session.Exempt = m.layout.Housekeeping, m.layout.Exempt
	if grant.RewritesExec() || len(grant.Threads) > 0 { // exec looks after the watcher, too
		if err := delegate.MarkRewritesExec(); err != nil {
			return fmt.Errorf("exec and exec_cpus of class %s: %w", grant.Class, err)
		}
	}
	if err := mark(store); err != nil {
		return err
	}
	m.thpOff, m.ksmOff = grant.Memory.THP == shield.Never, grant.Memory.KSM == string(shield.Off)
	session.Add(grant)
	return session.Save()
}

// mark lets the verb state find the ledger.
func mark(store shield.Store) error {
	if err := delegate.MarkLedger(store.Path()); err != nil {
		return fmt.Errorf("state would not find the ledger: %w", err)
	}
	return nil
}

// open opens the ledger and cleans up after those who could not.
func open(store shield.Store, who string) (*shield.Session, error) {
	session, err := store.Open(who)
	if err != nil {
		return nil, err
	}
	_ = watch.Ensure(store, session.Ledger) // status tells; stderr is the container's
	if reconcile.Stale(system, session.Ledger) {
		if _, err := reconcile.Run(system, session); err != nil {
			session.Close()
			return nil, err
		}
	}
	return session, nil
}
