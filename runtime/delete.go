package runtime

import (
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// remove is the verb delete. The delegate's poststop hook has released the container by the time that it returns; this
// is for containers whose hook did not run: the create failed early, or the hook was killed. For a container without a
// grant it is one lstat more than a pass-through.
func remove(inv argv.Invocation) (int, error) {
	e, err := find(inv)
	if err != nil {
		return 1, err
	}
	if e.wrong != nil {
		fmt.Fprintln(os.Stderr, message(fmt.Errorf("%w: what container %s held is looked for in %s", e.wrong, inv.ID, e.store.Dir)))
	}
	if e.idle {
		return 1, delegate.Become(e.delegate, inv.Argv)
	}
	env, err := delegate.Environ()
	if err != nil {
		return 1, err
	}
	// A ledger that cannot be read stops no delete.
	if ledger, err := e.store.Peek(); err == nil {
		if grant := ledger.Grant(e.key); grant != nil {
			if err := reconcile.Heal(system, e.store, *grant); err != nil {
				fmt.Fprintln(os.Stderr, message(err))
			}
			reconcile.Drain(system, *grant)
		}
	}
	code, err := delegate.Run(e.delegate, inv.Argv, env)
	if err != nil || code != 0 {
		return code, err
	}
	// The container is gone, and the engine must hear so whatever becomes of the release: it would only delete again.
	// What is left is picked up by the next invocation.
	if err := reconcile.Release(system, e.store, e.key); err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	return 0, nil
}
