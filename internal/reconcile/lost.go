package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/shield"
)

// Mark notes on a container's cgroup which ledger its grant is in, so that Lost finds it. A kernel that refuses breaks no
// promise.
func Mark(root host.Root, store shield.Store, grant shield.Grant) {
	_ = root.MarkCgroup(grant.Cgroups.Cpuset, store.Dir)
}

// Unmark is for a grant that ends before its cgroup.
func Unmark(root host.Root, grant shield.Grant) {
	if grant.Cgroups.Cpuset != "" {
		_ = root.MarkCgroup(grant.Cgroups.Cpuset, "")
	}
}

// Lost lists the cgroups of running containers that were granted CPUs and that the ledger does not know: it was deleted
// while they ran. It is asked where there is no grant on record, before anybody relies on that.
func Lost(root host.Root, store shield.Store, ledger *shield.Ledger) ([]string, error) {
	place, found, err := root.Cgroup(os.Getpid())
	if err != nil || !found {
		return nil, err
	}
	var lost []string
	err = walkCgroups(root, place.Mount, func(dir string) error {
		if isGrant(ledger, dir) {
			return filepath.SkipDir
		}
		mark, err := root.CgroupMark(dir)
		if err != nil {
			return err
		}
		if mark == store.Dir && root.CgroupPopulated(dir) {
			cpus, _ := hostcpuset.CPUs(root, dir)
			lost = append(lost, fmt.Sprintf("%s (CPU %s)", dir, cpus))
		}
		return nil
	})
	return lost, err
}

// LostError tells of them, nil for none.
func LostError(root host.Root, store shield.Store, ledger *shield.Ledger) error {
	lost, err := Lost(root, store, ledger)
	if err != nil || len(lost) == 0 {
		return err
	}
	return fmt.Errorf("the ledger in %s was deleted while a container ran that it had granted CPUs: cgroup %s: delete that container first; what was set for it stays until it is set by hand, or the next boot",
		store.Dir, strings.Join(lost, ", "))
}
