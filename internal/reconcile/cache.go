package reconcile

import (
	"fmt"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/resctrl"
	"github.com/rtshield/rtshield/internal/shield"
)

// Cache reads what the L3 next to these CPUs can be divided into.
func Cache(root host.Root, cpus cpuset.CPUSet) (shield.Cache, error) {
	facts, err := resctrl.Read(root)
	if err != nil {
		return shield.Cache{Why: err.Error()}, nil
	}
	cache := shield.Cache{
		Full: facts.Full, Shareable: facts.Shareable, MinWays: facts.MinWays, CLOSIDs: facts.CLOSIDs, Groups: map[string]shield.Ways{},
	}
	for name, masks := range facts.Groups {
		cache.Groups[name] = shield.Ways(masks)
	}
	cache.Domains, err = resctrl.Domains(root, cpus)
	return cache, err
}

// observeWays reads what all other tasks may fill, where some are, or were, taken from them.
func observeWays(root host.Root, ledger *shield.Ledger, seen *shield.Observation) error {
	asked := len(ledger.Noted(shield.L3Ways)) > 0
	for _, grant := range ledger.Grants {
		asked = asked || len(grant.Ways) > 0
	}
	if !asked {
		return nil
	}
	masks, err := resctrl.Group(root, "")
	if err != nil && !gone(err) {
		return fmt.Errorf("ways of the L3: %w", err)
	}
	seen.Ways = shield.Ways(masks)
	return nil
}

// CheckWays reads back that a container's first process is in a group with its ways.
func CheckWays(root host.Root, grant shield.Grant, pid int) error {
	if len(grant.Ways) == 0 {
		return nil
	}
	masks, err := resctrl.Group(root, grant.ID)
	if err != nil {
		return fmt.Errorf("container %s was promised the ways %s of the L3: %w", grant.Name, grant.Ways, err)
	}
	for domain, ways := range grant.Ways {
		if masks[domain] != ways {
			return fmt.Errorf("container %s was promised the ways %s of the L3, but group %s has %s", grant.Name, grant.Ways, grant.ID, masks)
		}
	}
	if inside, err := resctrl.Has(root, grant.ID, pid); err != nil || !inside {
		return fmt.Errorf("container %s was promised the ways %s of the L3, but pid %d is not in group %s of %s", grant.Name, grant.Ways, pid, grant.ID, resctrl.Dir)
	}
	return nil
}
