package reconcile

import (
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Release takes a container out of the ledger, if it is in, and brings the knobs back.
func Release(root host.Root, store shield.Store, key shield.Key) error {
	if !store.Exists() {
		return nil
	}
	session, err := store.Open("release of " + key.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	session.Release(key)
	_, err = Run(root, session)
	return err
}
