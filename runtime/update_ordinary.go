package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// ordinary is the update of a container without a grant that names CPUs: those that others hold are left out, and are its
// own again when they are free.
func (c *change) ordinary(known *shield.Ordinary) (int, error) {
	asked, err := shield.ParseCPUs(c.asked.CPUs)
	if err != nil {
		return c.pass() // the delegate has its own words for this
	}
	wanted := asked.CPUSet
	m := &matter{config: c.config}
	if err := m.survey(); err != nil {
		return 1, err
	}
	// Before the lock is taken: the delegate is asked, and may hang.
	next, err := c.place(known)
	unknown := &exec.ExitError{}
	if err != nil && !errors.As(err, &unknown) && !host.Gone(err) {
		return 1, fmt.Errorf("update of container %s: where it lives: %w", c.key.ID, err)
	}
	session, err := open(c.store, "update of "+c.key.ID)
	if err != nil {
		return 1, err
	}
	defer session.Close()
	taken := session.Held()
	if m.layout.ReserveAlways {
		taken = taken.Union(m.layout.Pool.CPUSet)
	}
	before := session.OrdinaryOf(c.key)
	left := wanted.Difference(taken)
	switch {
	case left.IsEmpty():
		return 1, fmt.Errorf("update of container %s asks for CPU %s, and CPU %s is kept for others (%s): choose from %s",
			c.key.ID, wanted, wanted.Intersection(taken), m.takers(session.Ledger), m.layout.Housekeeping.Union(m.facts.Topology.Online).Difference(taken))
	case left.Equals(wanted) && before == nil && session.Held().IsEmpty():
		session.Close()
		return c.pass()
	}
	if next.Cpuset == "" { // the delegate does not know it: it has its own words
		session.Close()
		c.setCPUs(shield.CPUsOf(left))
		return c.run()
	}
	if m.layout.ReserveAlways {
		wanted = wanted.Difference(m.layout.Pool.CPUSet)
	}
	next.Wanted = shield.CPUsOf(wanted)
	// What it is to have one day is noted first: killed on the way, the next reconcile gives it that.
	knob := shield.Knob{Kind: shield.Cpuset, Name: next.Cpuset}
	former, noted := session.Baselines[knob.String()]
	var undo func(*shield.Session)
	if before != nil {
		was := *before
		undo = func(s *shield.Session) { s.AddOrdinary(was) }
	} else {
		undo = func(s *shield.Session) { s.Release(c.key) }
	}
	if err := reconcile.Disinherit(system, session.Ledger, next.Cpuset); err != nil {
		return 1, fmt.Errorf("update of container %s: what its threads inherited: %w", c.key.ID, err)
	}
	session.Housekeeping = m.layout.Housekeeping
	session.AddOrdinary(next)
	session.Note(knob, wanted.String())
	if err := session.Save(); err != nil {
		return 1, err
	}
	session.Close()

	c.setCPUs(shield.CPUsOf(left))
	code, runErr := c.run()

	if session, err = c.store.Open("update of " + c.key.ID); err != nil {
		return 1, err
	}
	defer session.Close()
	if runErr != nil || code != 0 {
		if undo(session); noted {
			session.Note(knob, former)
		} else {
			delete(session.Baselines, knob.String())
		}
	}
	// Others may have come meanwhile.
	if _, err := reconcile.Run(system, session); err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	return code, runErr
}

// place finds out where a container lives, which the ledger knows if it was cut before.
func (c *change) place(known *shield.Ordinary) (shield.Ordinary, error) {
	if known != nil && known.Bound {
		return *known, nil
	}
	env, err := delegate.Environ()
	if err != nil {
		return shield.Ordinary{}, err
	}
	cmd := exec.Command(c.delegate, c.inv.Beside("state", c.inv.ID)[1:]...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return shield.Ordinary{}, err
	}
	var state struct {
		PID    int    `json:"pid"`
		Bundle string `json:"bundle"`
	}
	if err := json.Unmarshal(out, &state); err != nil {
		return shield.Ordinary{}, err
	}
	start, err := system.StartTime(state.PID)
	if err != nil {
		return shield.Ordinary{}, err
	}
	found := shield.Ordinary{Key: c.key, Name: c.key.ID, Owner: shield.Owner{PID: state.PID, Start: start}, Bound: true}
	at, _, err := system.Controller(state.PID, "cpuset")
	if err != nil {
		return shield.Ordinary{}, err
	}
	found.Cpuset = at.Dir
	// Its first process may have gone into a cgroup below.
	if document, err := spec.Load(state.Bundle); err == nil {
		if request, err := document.Request(c.key, ""); err == nil {
			found.Name = request.Name
			if dir := filepath.Join(at.Mount, request.Cgroup); system.CgroupPopulated(dir) {
				found.Cpuset = dir
			}
		}
	}
	found.Cpuset, err = hostcpuset.Nearest(system, found.Cpuset, at.Mount)
	return found, err
}
