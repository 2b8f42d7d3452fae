package reconcile

import (
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/shield"
)

// ReleaseHeld is Release where the ledger has the container, or anything else that is to be cleaned up. Without, it takes no
// lock.
func ReleaseHeld(root host.Root, store shield.Store, key shield.Key) error {
	if !store.Exists() {
		return nil
	}
	ledger, err := store.Peek()
	if err == nil && ledger.Grant(key) == nil && ledger.OrdinaryOf(key) == nil && !Stale(root, ledger) {
		return nil
	}
	return Release(root, store, key, ledger)
}

// Release takes a container out of the ledger, which was peeked at, and brings the knobs back. An error names the first that
// the kernel did not take back: its baseline stays noted for the next Run.
func Release(root host.Root, store shield.Store, key shield.Key, peeked *shield.Ledger) error {
	session, err := store.OpenPeeked("release of "+key.ID, peeked)
	if err != nil {
		return err
	}
	defer session.Close()
	if grant := session.Grant(key); grant != nil {
		outlast(*grant)
	}
	session.Release(key)
	report, err := Run(root, session)
	if err != nil {
		return err
	}
	return report.Stuck(session.Ledger)
}

// Stuck tells of the first setting that was to go back and could not, but for what waits until its CPUs are online again.
// Its baseline is still noted, so that the next Run tries again.
func (r Report) Stuck(ledger *shield.Ledger) error {
	for _, refused := range r.Refused {
		if _, noted := ledger.Baselines[refused.Knob.String()]; noted && refused.Want == refused.Baseline && !strings.HasSuffix(refused.Fixed, power.ErrOffline.Error()) {
			return fmt.Errorf("%s is not back at %s: %w: rtshield reconcile tries again", KnobPath(refused.Knob), refused.Baseline, refused.Err)
		}
	}
	return nil
}
