package reconcile

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

// count notes what has arrived so far on the CPUs of grants that have just got them, as the last thing: what moving
// everything away has caused does not count. A kernel that does not tell breaks no promise.
func count(root host.Root, ledger *shield.Ledger) {
	for i := range ledger.Grants {
		grant := &ledger.Grants[i]
		if !grant.Bound || len(grant.Start) > 0 {
			continue
		}
		if place, found, err := root.Controller(grant.Owner.PID, "cpuacct"); err == nil && found {
			grant.Cgroups.Account = place.Dir
		}
		if grant.MayRunRealTime() {
			if runtime, period, err := rt.Throttle(root); err == nil {
				grant.Throttle = shield.Budget{Runtime: runtime, Period: period}
			}
		}
		reading, err := take(root, *grant)
		if err != nil {
			continue
		}
		if text, err := json.Marshal(reading); err == nil {
			grant.Start = text
		}
	}
}

func take(root host.Root, grant shield.Grant) (interference.Reading, error) {
	place, _, err := root.Controller(os.Getpid(), "cpuacct")
	if err != nil {
		return interference.Reading{}, err
	}
	if place.Dir = grant.Cgroups.Account; place.Unified && !grant.ExecCPUs.IsSubsetOf(grant.CPUs.CPUSet) {
		place.Dir = "" // its time on the CPUs of exec is in it too
	}
	return interference.Take(root, grant.CPUs.CPUSet, interference.Container{Cgroup: place, PID: grant.Owner.PID})
}

// ErrNotCounted: what arrived is not known, because nothing was noted when the grant's CPUs were taken.
var ErrNotCounted = errors.New("nothing was counted at its start")

// Interference tells what has arrived on a grant's CPUs since it got them.
func Interference(root host.Root, grant shield.Grant) (interference.Delta, error) {
	if len(grant.Start) == 0 {
		return interference.Delta{}, ErrNotCounted
	}
	var start interference.Reading
	if err := json.Unmarshal(grant.Start, &start); err != nil {
		return interference.Delta{}, err
	}
	now, err := take(root, grant)
	return now.Since(start), err
}
