package runc_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

func TestAShieldedContainerHasItsCPUFromCreateToDelete(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("web", rig.Class("fifo"))
		pid := r.Create("web", bundle)
		if status := r.Status("web"); status != "created" {
			r.Errorf("after create it is %q", status)
		}
		shielded(r, "web", pid) // before any code of the user's
		r.Must(r.OCI("start", "web"))
		r.Eventual(func() error { return programIs(pid, "/bin/busybox") })
		shielded(r, "web", pid)
		environ := r.Environ(pid)
		for _, want := range []string{"RTSHIELD_CPUS=1", "RTSHIELD_CLASS=fifo", "RTSHIELD_LEVEL=cpuset"} {
			if !slices.Contains(environ, want) {
				r.Errorf("the container does not see %s: %q", want, environ)
			}
		}
		r.Stop("web")
		r.Must(r.OCI("delete", "web"))
		r.AsBefore("after delete")
		r.Gone("after delete")
	})
}

// shielded checks all that class fifo promises, from the host.
func shielded(r *rig.Rig, id string, pid int) {
	r.Helper()
	r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
	if irqs := r.MovableIRQs(1); len(irqs) > 0 {
		r.Errorf("movable interrupts may reach CPU 1: %q", irqs)
	}
	grant := r.Grant(id)
	if !grant.Bound || grant.Owner.PID != pid || grant.CPUs.String() != shieldCPU || grant.PolicyText() != "fifo 50" {
		r.Errorf("the ledger has %+v for pid %d", grant, pid)
	}
	if cpus := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/"+id, "cpuset.cpus")); cpus != shieldCPU {
		r.Errorf("cpuset.cpus of the container is %q", cpus)
	}
	for _, budget := range budgets(rig.CgroupParent + "/" + id) {
		if runtime := r.Number(budget); runtime < grant.Budget.Runtime || runtime == 0 {
			r.Errorf("%s is %d, the container needs %d", budget, runtime, grant.Budget.Runtime)
		}
	}
}

// budgets lists the files that hold the real-time budgets from a cgroup up; none on a kernel without them.
func budgets(cgroup string) []string {
	var files []string
	for ; cgroup != "/"; cgroup = filepath.Dir(cgroup) {
		if file := rig.Cgroup("cpu", cgroup, "cpu.rt_runtime_us"); exists(file) {
			files = append(files, file)
		}
	}
	return files
}

func TestExecIntoAShieldedContainerIsOrdinaryButOnItsCPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		file := filepath.Join(r.Dir, "exec-pid")
		r.Must(r.OCI("exec", "--detach", "--pid-file", file, "web", "/bin/sleep", "60"))
		pid := r.Adopt(file)
		r.Runs(pid, unix.SCHED_NORMAL, 0, shieldCPU)
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestRunInTheForegroundLeavesNothing(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Track("fg")
		bundle := r.Bundle("fg", rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo out; echo err >&2; exit 7"))
		res := r.OCI("run", "--bundle", bundle, "fg")
		if res.Code != 7 || res.Stdout != "out\n" || res.Stderr != "err\n" {
			r.Errorf("the container's output and status do not come through: %s", res)
		}
		r.AsBefore("after run")
		r.Gone("after run")
	})
}

func TestRunDetachedIsShieldedUntilItEndsByItself(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("d", r.Bundle("d", rig.Class("fifo"), rig.Args("/bin/sleep", "0.5")))
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		r.Eventual(func() error { return ended(pid) })
		// Nobody has told rtshield: the ledger still holds it, and delete lets it go.
		r.Must(r.OCI("delete", "d"))
		r.AsBefore("after delete")
	})
}

func TestStateReleasesAContainerThatEndedByItself(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("d", r.Bundle("d", rig.Class("fifo"), rig.Args("/bin/sleep", "0.5")))
		r.Must(r.OCI("state", "d"))
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		r.Grant("d")
		r.Eventual(func() error { return ended(pid) })
		if out := r.Must(r.OCI("state", "d")).Stdout; out != r.Must(r.Plain("state", "d")).Stdout || !strings.Contains(out, `"stopped"`) {
			r.Errorf("its state is %s", out)
		}
		if ledger := r.Ledger(); ledger != nil {
			r.Errorf("after state there is a ledger: %+v", ledger)
		}
		r.Must(r.Plain("delete", "d")) // which releases nothing
		r.AsBefore("after delete")
	})
}

func TestDeleteForceOfARunningContainerLeavesNothing(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("f", r.Bundle("f", rig.Class("fifo")))
		r.Must(r.OCI("delete", "--force", "f"))
		r.AsBefore("after delete --force")
		r.Gone("after delete --force")
	})
}

func TestASecondContainerIsRefusedAndTheFirstUnharmed(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		first := r.Detach("first", r.Bundle("first", rig.Class("fifo")))
		bundle := r.Bundle("second", rig.Class("rr"))
		before := r.Raw(bundle)
		res, _ := r.TryBegin("create", "second", bundle)
		refused(r, res, "second", "asks for 1 CPU", "0 of 1", "(1: first)")
		if r.Raw(bundle) != before {
			r.Errorf("config.json of the refused container was changed")
		}
		shielded(r, "first", first)
		r.End("first")
		r.AsBefore("after delete")
	})
}

func TestTheSameIDTwiceIsRefusedAndTheFirstUnharmed(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("same", rig.Class("fifo"))
		pid := r.Create("same", bundle)
		res := r.OCI("create", "--bundle", bundle, "same")
		refused(r, res, "already exists", "same")
		shielded(r, "same", pid)
		r.Must(r.OCI("start", "same"))
		r.End("same")
		r.AsBefore("after delete")
	})
}
