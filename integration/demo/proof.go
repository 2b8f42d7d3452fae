package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/integration/snapshot"
)

var errHost = errors.New("the host is not as before")

// snapshot is every setting that rtshield may change, and its ledger: absent before
// the demo, since the state directory is the demo's own.
func (s *stage) snapshot() snapshot.Snapshot { return snapshot.Take(s.ledger) }

// prove compares the host with what it was before. Where it differs, the proof has
// failed; the settings are repaired all the same, if rtshield can.
func (s *stage) prove(before snapshot.Snapshot) error {
	differences := snapshot.Diff(before, s.snapshot())
	if len(differences) == 0 {
		fmt.Printf("\nhost: %d settings compared, all as before\n", len(before))
		return nil
	}
	fmt.Printf("\nhost: %d settings compared, %d are not as before:\n  %s\n",
		len(before), len(differences), strings.Join(differences, "\n  "))
	if err := s.command(s.shield, "reconcile"); err != nil {
		return errors.Join(errHost, err)
	}
	if left := snapshot.Diff(before, s.snapshot()); len(left) > 0 {
		fmt.Printf("after `rtshield reconcile` still:\n  %s\n", strings.Join(left, "\n  "))
	} else {
		fmt.Println("`rtshield reconcile` repaired them")
	}
	return errHost
}
