package runc_test

import (
	"strconv"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestAnOrdinaryContainerIsUntouchedWhileNobodyHoldsACPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("o")
		before := r.Raw(bundle)
		r.Runs(r.Detach("o", bundle), 0, 0, "0-1")
		if r.Raw(bundle) != before || len(r.Files(bundle)) != 1 || exists(r.Policy.Ledger()) {
			r.Errorf("an ordinary container's bundle was changed: %q", r.Files(bundle))
		}
		r.End("o")
		r.AsBefore("after delete")
	})
}

func TestAnOrdinaryContainerIsKeptOffAHeldCPUAndWidenedAgain(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		plain := r.Detach("plain", r.Bundle("plain"))
		asked := r.Detach("asked", r.Bundle("asked", rig.CPUs("0-1")))
		for _, pid := range []int{plain, asked} {
			r.Runs(pid, 0, 0, "0")
		}
		res, _ := r.TryBegin("create", "one", r.Bundle("one", rig.CPUs("1")))
		refused(r, res, "one", "CPU 1", "(1: web)")
		r.End("web")
		for _, pid := range []int{plain, asked} {
			r.Runs(pid, 0, 0, "0-1")
		}
		for _, id := range []string{"plain", "asked"} {
			if cpus := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/"+id, "cpuset.cpus")); cpus != "0-1" {
				r.Errorf("cpuset.cpus of %s is %q once web has ended", id, cpus)
			}
			r.End(id)
		}
		r.AsBefore("after delete")
	})
}

// It was there first, started by plain runc, of which rtshield knows nothing.
func TestWhatWasThereBeforeMakesRoomAndGetsItsCPUBack(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		before := r.Detach("before", r.Bundle("before"))
		sleeper := r.Sleeper()
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		for _, pid := range []int{before, sleeper} {
			r.Runs(pid, 0, 0, "0")
		}
		r.End("web")
		for _, pid := range []int{before, sleeper} {
			r.Runs(pid, 0, 0, "0-1")
		}
		r.End("before")
		r.AsBefore("after delete")
	})
}

func TestReserveAlwaysKeepsOrdinaryContainersOffThePool(t *testing.T) {
	rig.EachWith(t, testhost.Options{Layout: `reserve = "always"`}, func(r *rig.Rig) {
		pid := r.Detach("o", r.Bundle("o"))
		r.Runs(pid, 0, 0, "0")
		res, _ := r.TryBegin("create", "one", r.Bundle("one", rig.CPUs("1")))
		refused(r, res, "one", "CPU 1", `reserve = "always"`)
		web := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Runs(web, fifo50.policy, fifo50.priority, shieldCPU)
		r.End("web")
		r.Runs(pid, 0, 0, "0") // also when nobody holds it
		r.End("o")
		r.AsBefore("after delete")
	})
}

func TestAnOrdinaryBundleRunLaterIsTheUsersAgain(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("o")
		before := r.Raw(bundle)
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Runs(r.Detach("o", bundle), 0, 0, "0")
		r.End("o")
		r.End("web")
		r.Runs(r.Detach("o", bundle), 0, 0, "0-1")
		if r.Raw(bundle) != before || len(r.Files(bundle)) != 1 {
			r.Errorf("config.json keeps what was cut: %q", r.Files(bundle))
		}
		r.End("o")
		r.AsBefore("after delete")
	})
}
