package runtime

import (
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// remove is the verb delete. For a container without a grant it is one lstat more than a pass-through.
func remove(inv argv.Invocation) (int, error) {
	e, err := find(inv)
	if err != nil {
		return 1, err
	}
	if e.wrong != nil {
		warn(fmt.Errorf("%w: what container %s held is looked for in %s", e.wrong, inv.ID, e.store.Dir))
	}
	if e.idle && !e.bound {
		return 1, delegate.Become(e.delegate, inv.Argv)
	}
	// A ledger that cannot be read stops no delete.
	if ledger, err := e.store.Peek(); err == nil {
		warn(watch.Ensure(e.store, ledger))
		if grant := ledger.Grant(e.key); grant != nil {
			if e.ended(ledger, *grant) {
				return 1, delegate.Become(e.delegate, inv.Argv)
			}
			if inv.Force {
				warn(reconcile.Retire(system, *grant))
			}
		}
	}
	// The delegate's poststop hook releases what still runs. What follows is for one whose hook does not: the create failed
	// early, or the hook was killed.
	env, err := delegate.Environ()
	if err != nil {
		return 1, err
	}
	code, err := delegate.Run(e.delegate, inv.Argv, env)
	if err != nil || code != 0 {
		return code, err
	}
	// The container is gone, and the engine must hear so whatever becomes of the release: it would only delete again.
	// What is left is picked up by the next invocation.
	warn(reconcile.ReleaseHeld(system, e.store, e.key))
	warn(e.store.DropLimited(e.key))
	return 0, nil
}

// ended says whether a container has ended and is released. Its cgroup is still there: without it the kernel would count its
// real-time budget for a while yet, and Linux 6.12 would lose the CPUs of a partition that is invalid.
func (e existing) ended(ledger *shield.Ledger, grant shield.Grant) bool {
	if reconcile.Live(system, grant) {
		warn(reconcile.Heal(system, e.store, grant))
		return false
	}
	return reconcile.Release(system, e.store, e.key, ledger) == nil // tried, and told, once more afterwards
}

func warn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
}
