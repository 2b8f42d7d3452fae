package verify

import (
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// sharedGrants gives those that live of the containers without CPUs of their own, with the CPUs that they may run on now.
func sharedGrants(root host.Root, ledger *shield.Ledger) (grants []shield.Grant) {
	for _, ordinary := range ledger.Ordinary {
		if ordinary.Shared == nil || !ordinary.Bound || !reconcile.Lives(root, ordinary) {
			continue
		}
		grant := ordinary.Shared.Grant(ordinary.Key, ordinary.Name)
		now, _ := hostcpuset.Effective(root, ordinary.Cpuset)
		grant.Owner, grant.CPUs, grant.Cgroups.Cpuset = ordinary.Owner, shield.CPUsOf(now), ordinary.Cpuset
		grants = append(grants, grant)
	}
	return grants
}

// shared holds a container without CPUs of its own to what it was promised: its policy, its budget, and to others: that it is on
// none of theirs.
func (j Job) shared(ledger *shield.Ledger, shown status.Shared) Container {
	container := Container{
		ID: shown.ID, Root: shown.Root, Name: shown.Name, Class: shown.Class, CPUs: shown.CPUs, PID: shown.PID, State: shown.State,
		Shared: true, Promises: []Promise{},
	}
	grants := sharedGrants(j.Root, ledger)
	i := slices.IndexFunc(grants, func(g shield.Grant) bool { return g.Root == shown.Root && g.ID == shown.ID })
	if i < 0 {
		if shown.State == "stale" {
			container.Promises = append(container.Promises, Promise{
				Name: "owner", Mark: Broken, What: fmt.Sprintf("its process, pid %d, has ended, and it is still in the ledger", shown.PID), Why: "nobody deleted it", Help: repair,
			})
		}
		return container
	}
	grant := grants[i]
	now := read(j.Root, grant, j.Sparing)
	container.Promises = append([]Promise{firstThread(grant, now)}, threadPromises(grant, ceilingOf(grant, j.Policy.Classes), now)...)
	container.Promises = append(container.Promises, apart(grant.CPUs.CPUSet, ledger.Held()))
	if chain := grant.Cgroups.Budgets; len(chain) > 0 {
		container.Promises = append(container.Promises, j.budget(chain[len(chain)-1], grant.Budget))
	}
	return container
}

func apart(now, held cpuset.CPUSet) Promise {
	if both := now.Intersection(held); !both.IsEmpty() {
		return Promise{
			Name: "cpuset", Mark: Broken, What: fmt.Sprintf("it may run on CPU %s, and others have CPU %s alone", now, both),
			Why: status.Changed, Help: repair, kind: shield.Cpuset,
		}
	}
	return Promise{Name: "cpuset", Mark: Holds, What: fmt.Sprintf("CPU %s, among others, and none that somebody has alone", now)}
}

func (j Job) budget(dir string, want shield.Budget) Promise {
	runtime, _, err := rt.Budget(j.Root, dir)
	switch {
	case err != nil:
		return Promise{Name: "budget", Mark: Unknown, What: "that of " + dir + " cannot be read", Why: err.Error()}
	case runtime != want.Runtime:
		return Promise{
			Name: "budget", Mark: Broken, What: fmt.Sprintf("its real-time threads have %d of %d µs and should have %d", runtime, want.Period, want.Runtime),
			Why: status.Changed, Help: repair, kind: shield.RTBudget,
		}
	}
	return Promise{Name: "budget", Mark: Holds, What: fmt.Sprintf("real-time threads have %d of %d µs of each CPU", want.Runtime, want.Period)}
}
