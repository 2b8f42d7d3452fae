package runc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func TestLevelAffinityMovesTasksAndLeavesCgroupsAlone(t *testing.T) {
	rig.EachWith(t, testhost.Options{Layout: `level = "affinity"`}, func(r *rig.Rig) {
		wide, narrow := cpusetBeside(r, "wide", "0-1"), cpusetBeside(r, "narrow", "1")
		loose, movable, stuck := r.Sleeper(), r.Sleeper(), r.Sleeper()
		enter(r, wide, movable)
		enter(r, narrow, stuck)
		pid := r.Detach("c", r.Bundle("c", rig.Class("fifo")))
		r.Eventual(func() error { // until runc's init has become the program
			if environ := r.Environ(pid); !slices.Contains(environ, "RTSHIELD_LEVEL=affinity") {
				return fmt.Errorf("the container sees %q", environ)
			}
			return nil
		})
		if now := r.Allowed(pid); now != "1" {
			r.Errorf("the container may run on CPU %s", now)
		}
		for name, sleeper := range map[string]int{"in the cgroup of the tests": loose, "in a cpuset of both CPUs": movable} {
			if now := r.Allowed(sleeper); now != "0" {
				r.Errorf("a process %s may run on CPU %s", name, now)
			}
		}
		if now := r.Allowed(stuck); now != "1" {
			r.Errorf("a process in a cpuset of CPU 1 may run on CPU %s", now)
		}
		for _, dir := range []string{wide, narrow} {
			want := map[string]string{wide: "0-1", narrow: "1"}[dir]
			if now := r.Text(dir + "/cpuset.cpus"); now != want {
				r.Errorf("%s/cpuset.cpus is %s, want %s: the level says that cgroups are left alone", dir, now, want)
			}
		}
		status := r.Must(r.Shield("status")).Stdout
		for _, words := range []string{"affinity", "tasks that start from now on may run on CPU 1", "rt-sleeper: its cpuset has no other CPU"} {
			if !strings.Contains(status, words) {
				r.Errorf("status does not say %q: %s", words, status)
			}
		}
		// One that comes later is moved by the next reconcile, as status says.
		late := r.Sleeper()
		enter(r, wide, late)
		r.Must(r.Shield("reconcile"))
		if now := r.Allowed(late); now != "0" {
			r.Errorf("after reconcile a new process may run on CPU %s", now)
		}
		r.End("c")
		for _, sleeper := range []int{movable, late} {
			if now := r.Allowed(sleeper); now != "0-1" {
				r.Errorf("afterwards pid %d may run on CPU %s", sleeper, now)
			}
		}
	})
}

func TestAClassCanRequireALevel(t *testing.T) {
	classes := "[class.sure]\npolicy = \"fifo\"\nrequire_level = \"partition\"\n[class.enough]\npolicy = \"fifo\"\nrequire_level = \"cpuset\"\n"
	rig.EachWith(t, testhost.Options{Classes: classes}, func(r *rig.Rig) {
		refusedWhole(r, "sure", "json", r.Rtshield, r.Bundle("a", rig.Class("sure")),
			"class sure requires level partition, and only cpuset can be had", "cgroup v2 and Linux 6.7")
		r.Detach("b", r.Bundle("b", rig.Class("enough")))
		if level := r.Grant("b").Level; level != "cpuset" {
			r.Errorf("level %s", level)
		}
		r.End("b")
	})
}

// cpusetBeside makes a cpuset that is no container's, and takes it away with the test.
func cpusetBeside(r *rig.Rig, name, cpus string) string {
	r.Helper()
	dir := filepath.Dir(rig.Cgroup("cpuset", "/rtshield-test/"+name, "x"))
	mkdir(r, dir)
	put(r, dir+"/cpuset.mems", r.Text(filepath.Dir(dir)+"/cpuset.mems"))
	put(r, dir+"/cpuset.cpus", cpus)
	return dir
}

func enter(r *rig.Rig, dir string, pid int) {
	r.Helper()
	if err := os.WriteFile(dir+"/cgroup.procs", fmt.Appendln(nil, pid), 0); err != nil {
		r.Fatal(err)
	}
}
