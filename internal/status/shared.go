package status

import (
	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Shared is a container that runs under its class's policy among all others: it holds no CPU.
type Shared struct {
	ID     string `json:"id"`
	Root   string `json:"root"`
	Name   string `json:"name"`
	Class  string `json:"class"`
	Policy string `json:"policy"`
	// CPUs are those that it may run on now, as others may.
	CPUs   shield.CPUs   `json:"cpus"`
	Budget shield.Budget `json:"budget,omitzero"`
	PID    int           `json:"pid"`
	State  string        `json:"state"`
	Pod    *shield.Pod   `json:"pod,omitempty"`
}

func sharedOf(root host.Root, ledger *shield.Ledger) (all []Shared) {
	for _, ordinary := range ledger.Ordinary {
		shared := ordinary.Shared
		if shared == nil {
			continue
		}
		now, _ := hostcpuset.Effective(root, ordinary.Cpuset)
		shown := Shared{
			ID: ordinary.ID, Root: ordinary.Root, Name: ordinary.Name, Class: shared.Class, CPUs: shield.CPUsOf(now),
			Policy: shared.Grant(ordinary.Key, ordinary.Name).PolicyText(), Budget: shared.Budget, PID: ordinary.Owner.PID, State: "starting",
		}
		switch {
		case !reconcile.Lives(root, ordinary):
			shown.State = "stale"
		case ordinary.Bound:
			shown.State = "bound"
		}
		if shared.Pod.ID != "" {
			shown.Pod = &shared.Pod
		}
		all = append(all, shown)
	}
	return all
}
