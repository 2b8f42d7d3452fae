package rig

import (
	"os"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// Restore writes back by hand what differs from the rig's beginning, and takes the ledger away: so that a test that has
// found rtshield wrong leaves the host right. It says so, since after a test that passed there is nothing to do.
func (r *Rig) Restore() {
	r.Helper()
	now := snapshot.Take()
	var paths []string
	for path, was := range r.before.Settings {
		if is, there := now[path]; there && is != was && (strings.HasPrefix(path, "/proc/irq/") || strings.HasPrefix(path, "/sys/devices/system/") || strings.Contains(path, "rtshield-test")) {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return len(b) - len(a) }) // budgets are lowered from the bottom up
	for _, path := range paths {
		r.Logf("put back by hand: %s = %s, was %s", path, now[path], r.before.Settings[path])
		if err := os.WriteFile(path, []byte(r.before.Settings[path]), 0); err != nil {
			r.Errorf("put back by hand: %v", err)
		}
	}
	if err := os.Remove(r.Policy.Ledger()); err == nil {
		r.Logf("removed by hand: %s", r.Policy.Ledger())
	}
}
