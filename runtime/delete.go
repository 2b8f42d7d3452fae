package runtime

import (
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// remove is the verb delete. The delegate's poststop hook has released the container by the time that it returns; this
// is for containers whose hook did not run: the create failed early, or the hook was killed. For a container without a
// grant it is one lstat more than a pass-through.
func remove(inv argv.Invocation) (int, error) {
	path, err := delegate.Resolve()
	if err != nil {
		return 1, err
	}
	dir, err := config.StateDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, message(fmt.Errorf("%w: what container %s held is looked for in %s", err, inv.ID, dir)))
	}
	store := shield.Store{Dir: dir}
	if !store.Exists() {
		return 1, delegate.Become(path, inv.Argv)
	}
	if store.BootID, err = system.BootID(); err != nil {
		return 1, err
	}
	env, err := delegate.Environ()
	if err != nil {
		return 1, err
	}
	key := shield.Key{Root: stateRoot(inv.Root, path), ID: inv.ID}
	// A ledger that cannot be read stops no delete.
	if ledger, err := store.Peek(); err == nil {
		if grant := ledger.Grant(key); grant != nil {
			if err := reconcile.Heal(system, store, *grant); err != nil {
				fmt.Fprintln(os.Stderr, message(err))
			}
			reconcile.Drain(system, *grant)
		}
	}
	code, err := delegate.Run(path, inv.Argv, env)
	if err != nil || code != 0 {
		return code, err
	}
	// The container is gone, and the engine must hear so whatever becomes of the release: it would only delete again.
	// What is left is picked up by the next invocation.
	if err := reconcile.Release(system, store, key); err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	return 0, nil
}
