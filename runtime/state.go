package runtime

import (
	"time"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// stateWait is how long the question after a state may wait for the lock.
const stateWait = time.Second

// state releases a container that has ended. CRI-O deletes it only with its pod, or when the kubelet has made its successor, but
// asks for its state at once (1.34, UpdateContainerStatus). What goes wrong is not said here: containerd reads the answer from
// stdout and stderr together (go-runc, State). The next invocation tries again, and tells.
func state(inv argv.Invocation) error {
	e, err := find(inv)
	if err != nil {
		return err
	}
	if !e.idle {
		if ledger, err := e.store.Peek(); err == nil {
			grant, ordinary := ledger.Grant(e.key), ledger.OrdinaryOf(e.key)
			if grant != nil && !reconcile.Live(system, *grant) || ordinary != nil && !reconcile.Lives(system, *ordinary) {
				e.store.Wait = stateWait
				_ = reconcile.Release(system, e.store, e.key, ledger)
			}
		}
	}
	return delegate.Become(e.delegate, inv.Argv)
}
