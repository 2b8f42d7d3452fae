package reconcile

import (
	"fmt"
	"os"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
)

// One killed right after it had made the directory of idle siblings left it, and no ledger that knows of it.
func TestTheDirectoryOfIdleSiblingsIsThereWhileAnyIsIdle(t *testing.T) {
	root := generate(t, 128, 1)
	dir := root.Path("sys/fs/cgroup", IdleDir)
	there := func(want bool, when string) {
		t.Helper()
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: there it is: %v, want %v", when, err == nil, want)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	change(t, root, func(*shield.Session) {})
	there(false, "left behind")

	grant := bigGrant(t, root)
	change(t, root, func(s *shield.Session) { s.Add(grant) })
	there(false, "no sibling is idle")
	grant.Idle = shield.CPUsOf(cpuset.New(104))
	change(t, root, func(s *shield.Session) { s.Release(grant.Key); s.Add(grant) })
	there(true, "a sibling is idle")
	moving := shield.Move{CPUs: grant.CPUs, Idle: grant.Idle}
	grant.Idle, grant.Move = shield.CPUs{}, &moving
	change(t, root, func(s *shield.Session) { s.Release(grant.Key); s.Add(grant) })
	there(true, "on its way to a CPU with a sibling that will be idle")
	change(t, root, func(s *shield.Session) { s.Release(grant.Key) })
	there(false, "released")
}

func TestAProbeThatWasKilledIsCleanedUp(t *testing.T) {
	root := generate(t, 4, 1)
	bigGrant(t, root) // so that this process lives there
	mine, left := root.Path("sys/fs/cgroup", fmt.Sprintf("rtshield-probe-%d", os.Getpid())), root.Path("sys/fs/cgroup/rtshield-probe-4194305")
	for _, dir := range []string{mine, left} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	change(t, root, func(*shield.Session) {})
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed process left is still there")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("what a process looks into: %v", err)
	}
}
