//go:build vmguest

package guest_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The column that boots with cgroup_disable=cpuset runs only this.
func TestWithoutCpusetsTasksAreMovedOneByOne(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		if controllers, _ := os.ReadFile(mount + "/cgroup.controllers"); !unified() || strings.Contains(string(controllers), "cpuset") {
			r.Skip("elsewhere: this kernel has cpusets")
		}
		other := sleeper(r)
		pid := r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		held := grant.CPUs.Union(grant.Idle.CPUSet)
		if grant.Level != "affinity" {
			r.Errorf("level %s", grant.Level)
		}
		if now := r.allowed(pid); now != grant.CPUs.String() {
			r.Errorf("the container may run on CPU %s, granted are %s", now, grant.CPUs)
		}
		r.policy("at level affinity", pid, unix.SCHED_FIFO, 50)
		if now := parse(r, r.allowed(other)); !now.Intersection(held).IsEmpty() {
			r.Errorf("another process may run on CPU %s, held is %s", now, held)
		}
		named := false
		for _, limit := range grant.Limits {
			named = named || strings.Contains(limit.Why, "level affinity")
		}
		if !named {
			r.Errorf("no limit says how weak the level is: %v", grant.Limits)
		}
		r.begin("run", "plain")
		r.must(r.oci("reconcile"))
		r.Log("limit: level affinity: no cpuset keeps others off; rtshield reconcile moves those that came since")
		r.end("a")
		r.end("plain")
		r.asBefore("after the end")
	})
}
