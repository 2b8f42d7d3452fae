package runc_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

func TestNoProcessOfOursStaysWhileAContainerRuns(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Detach("plain", r.Bundle("plain"))
		if pids := r.OfOurs(); len(pids) > 0 {
			r.Errorf("beside detached containers: %q", pids)
		}
		r.End("plain")
		r.End("web")
		// In the foreground it is runc that waits.
		bundle := r.Bundle("fg", rig.Class("fifo"), rig.Args("/bin/sleep", "1"))
		r.Track("fg")
		done := make(chan rig.Result, 1)
		go func() { done <- r.OCI("run", "--bundle", bundle, "fg") }()
		r.Eventual(func() error {
			if ledger := r.Ledger(); ledger == nil || len(ledger.Grants) == 0 || !ledger.Grants[0].Bound {
				return fmt.Errorf("no grant is bound: %+v", ledger)
			}
			return nil
		})
		time.Sleep(200 * time.Millisecond) // the hook that has bound it ends
		if pids := r.OfOurs(); len(pids) > 0 {
			r.Errorf("beside a foreground container: %q", pids)
		}
		r.Must(<-done)
	})
}

func TestDeleteOfWhatNeverWasSaysWhatRuncSays(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		for _, args := range [][]string{{"delete", "--force", "never"}, {"delete", "never"}} {
			same(r, r.OCI(args...), r.Plain(args...))
		}
		// Beside a ledger, where delete is not a mere pass-through.
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		for _, args := range [][]string{{"delete", "--force", "never"}, {"delete", "never"}, {"delete", "web"}} {
			same(r, r.OCI(args...), r.Plain(args...))
		}
		if r.Grant("web").Owner.PID == 0 || r.Status("web") != "running" {
			r.Errorf("a refused delete has released a running container")
		}
		r.End("web")
	})
}

func TestDeleteReleasesAContainerWhoseHookNeverRan(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Stop("web")
		// runc keeps its own copy of the hooks: without it there is no poststop.
		state := r.Root + "/web/state.json"
		if res := r.Program("/bin/sh", "-c", "jq '.config.Hooks = null' "+state+" >"+state+".new && mv "+state+".new "+state); res.Code != 0 {
			r.Fatal(res)
		}
		r.Must(r.OCI("delete", "web"))
		r.AsBefore("after a delete without a hook")
		r.Gone("after a delete without a hook")
	})
}

func TestTheNextContainerTakesOverFromOneThatNobodyDeleted(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("lost", r.Bundle("lost", rig.Class("fifo")))
		// All that knows of it dies: the container and runc's state, as with a host that loses /run/runc.
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			r.Fatal(err)
		}
		r.Eventual(func() error { return ended(pid) })
		if err := os.RemoveAll(r.Root + "/lost"); err != nil {
			r.Fatal(err)
		}
		next := r.Detach("next", r.Bundle("next", rig.Class("rr")))
		r.Runs(next, unix.SCHED_RR, 50, shieldCPU)
		if ledger := r.Ledger(); len(ledger.Grants) != 1 {
			r.Errorf("the ledger has %+v", ledger.Grants)
		}
		r.End("next")
		// The directory of the lost container's cgroup still is there: nobody but its runtime would remove it.
		for _, budget := range budgets(rig.CgroupParent) {
			if runtime := r.Number(budget); runtime != 0 {
				r.Errorf("%s keeps %d", budget, runtime)
			}
		}
	})
}

func TestReconcileBringsBackWhatALostContainerHeld(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("lost", r.Bundle("lost", rig.Class("fifo")))
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			r.Fatal(err)
		}
		r.Eventual(func() error { return ended(pid) })
		has(r, "status", r.Must(r.Shield("status")).Stdout, "stale", "rtshield reconcile")
		has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, "released lost", "default_smp_affinity")
		if irqs := r.MovableIRQs(1); len(irqs) == 0 {
			r.Errorf("interrupts did not come back")
		}
		has(r, "reconcile again", r.Must(r.Shield("reconcile")).Stdout, "nothing to do")
		r.Must(r.OCI("delete", "lost"))
		r.AsBefore("after reconcile and delete")
	})
}
