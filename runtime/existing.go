package runtime

import (
	"errors"
	"io/fs"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// existing is a container that may be there already, for the verbs that delete, enter or change one.
type existing struct {
	inv      argv.Invocation
	delegate string
	key      shield.Key
	config   config.Config
	store    shield.Store
	// idle: no CPU is held, nor kept for those to come.
	idle bool
	// bound: there is a note of its CPU time.
	bound bool
	// wrong tells of a policy file that is not taken, but the default. It stops none of these verbs.
	wrong error
}

func find(inv argv.Invocation) (existing, error) {
	e := existing{inv: inv}
	var err error
	if e.delegate, err = delegate.Resolve(); err != nil {
		return e, err
	}
	e.key = shield.Key{Root: stateRoot(inv.Root, e.delegate), ID: inv.ID}
	if e.config, e.wrong = config.Load(); e.wrong != nil {
		e.config = config.Default()
	}
	e.store.Dir = e.config.State
	e.bound = e.store.HasNote(e.key)
	if e.idle = !e.store.Exists() && e.config.Layout.Reserve != "always"; !e.idle {
		e.store.BootID, err = system.BootID()
	}
	return e, err
}

// unread is an error for a policy file that could not even be read: it may name another ledger.
func (e existing) unread() error {
	if unread := (*fs.PathError)(nil); errors.As(e.wrong, &unread) {
		return e.wrong
	}
	return nil
}
