package reconcile

import (
	"os"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
)

// The thread of a trial ends a moment after who makes it, and keeps nothing.
func TestATrialIsOverWithWhoMakesIt(t *testing.T) {
	root := generate(t, 4, 1)
	if err := os.WriteFile(root.Path("sys/fs/cgroup/box/cgroup.procs"), []byte("77\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	grant := shield.Grant{Owner: shield.Owner{PID: 1 << 22, Start: 1}, Bound: true, Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/box"}}
	if !Live(root, grant) {
		t.Error("a container lives while a process of its cgroup does")
	}
	grant.Key = TrialKey
	if Live(root, grant) {
		t.Error("a trial outlives its owner")
	}
}
