package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	unknown, err := marked(root, ledger)
	return unknown[store.Dir], err
}

// LostError tells of them, nil for none.
func LostError(root host.Root, store shield.Store, ledger *shield.Ledger) error {
	lost, err := Lost(root, store, ledger)
	return errors.Join(err, lostError(store, lost))
}

func lostError(store shield.Store, lost []string) error {
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("the ledger in %s was deleted while a container ran that it had granted CPUs: cgroup %s: delete that container first; what was set for it stays until it is set by hand, or the next boot",
		store.Dir, strings.Join(lost, ", "))
}

// UnknownError is LostError, and tells of containers that run on CPUs which another ledger has granted: two would grant the
// same CPUs, and each take what the other has set for what was there before.
func UnknownError(root host.Root, store shield.Store, ledger *shield.Ledger) error {
	unknown, err := marked(root, ledger)
	if err := errors.Join(err, lostError(store, unknown[store.Dir])); err != nil {
		return err
	}
	if len(unknown) == 0 {
		return nil
	}
	other := slices.Sorted(maps.Keys(unknown))[0]
	return fmt.Errorf("the ledger in %s has granted CPUs of this host, to cgroup %s, and a host has one ledger: give [runtime] state the same directory, or delete that container first",
		other, strings.Join(unknown[other], ", "))
}

// marked finds the cgroups of running containers that bear a ledger's mark and that this one does not know, by ledger.
func marked(root host.Root, ledger *shield.Ledger) (map[string][]string, error) {
	place, found, err := root.Cgroup(os.Getpid())
	if err != nil || !found {
		return nil, err
	}
	unknown := map[string][]string{}
	err = walkCgroups(root, place.Mount, func(dir string) error {
		if isGrant(ledger, dir) {
			return filepath.SkipDir
		}
		mark, err := root.CgroupMark(dir)
		if err != nil {
			return err
		}
		if mark != "" && root.CgroupPopulated(dir) {
			cpus, _ := hostcpuset.CPUs(root, dir)
			unknown[mark] = append(unknown[mark], fmt.Sprintf("%s (CPU %s)", dir, cpus))
		}
		return nil
	})
	return unknown, err
}
