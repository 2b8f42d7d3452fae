package runc_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func TestAContainerThatEndsBeforeItsStartLeavesNothing(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Create("early", r.Bundle("early", rig.Class("fifo")))
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			r.Fatal(err)
		}
		r.Eventual(func() error { return ended(pid) })
		if res := r.OCI("start", "early"); res.Code == 0 {
			r.Errorf("a container that has ended was started: %s", res)
		}
		r.Must(r.OCI("delete", "early"))
		r.AsBefore("after delete")
		r.Gone("after delete")
	})
}

func TestAPausedContainerKeepsItsGrantAndItsPolicy(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		for range 2 {
			r.Must(r.OCI("pause", "web"))
			if status := r.Status("web"); status != "paused" {
				r.Errorf("it is %s", status)
			}
			shielded(r, "web", pid)
			r.Must(r.Shield("reconcile"))
			r.Must(r.OCI("resume", "web"))
			shielded(r, "web", pid)
		}
		r.Must(r.OCI("pause", "web"))
		r.Must(r.OCI("delete", "--force", "web")) // also from there
		r.AsBefore("after delete")
		r.Gone("after delete")
	})
}

// Ids are unique only below one root: engines have one each.
func TestTheSameIDBelowTwoRootsIsTwoContainers(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		first := r.Detach("same", r.Bundle("same", rig.Class("fifo")))
		other := *r
		other.Root = filepath.Join(r.Dir, "other")
		r.Track("plain") // its cgroup
		res := other.OCI("create", "--bundle", r.Bundle("asking", rig.Class("rr")), "same")
		refused(r, res, "asks for 1 CPU", "(1: same)")
		r.Must(other.OCI("delete", "--force", "same"))
		shielded(r, "same", first)

		second := other.Detach("same", r.Bundle("plain"))
		r.Runs(second, unix.SCHED_NORMAL, 0, "0")
		r.Must(other.OCI("delete", "--force", "same"))
		shielded(r, "same", first)
		r.Must(r.OCI("delete", "--force", "same"))
		r.AsBefore("after both deletes")
	})
}

func TestAHundredInARowLeaveNothing(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	bundle := r.Bundle("row", rig.Class("fifo"), rig.Args("/bin/true"))
	for i := range 100 {
		id := fmt.Sprint("row", i)
		if i%2 == 0 {
			r.Must(r.OCI("run", "--bundle", bundle, id))
		} else {
			r.Create(id, bundle)
			r.Must(r.OCI("delete", "--force", id))
		}
		if ledger := r.Ledger(); ledger != nil {
			t.Fatalf("after container %d there is a ledger: %+v", i, ledger)
		}
	}
	r.AsBefore("after a hundred")
	r.Gone("after a hundred")
}
