package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// repair is what helps against most of what is broken.
const repair = "rtshield verify --repair"

// part is what is promised of settings that are not the container's own, by their kinds.
type part struct {
	name     string
	kinds    []shield.Kind
	promised bool
	// what holds, where nothing of it is broken.
	what string
	// partly: what this host cannot leaves the rest of the promise as it is.
	partly bool
}

func partsOf(grant shield.Grant) []part {
	held := grant.Held()
	claimed := len(grant.Claim) > 0
	interrupts := "those of devices leave CPU " + held.String()
	switch {
	case grant.IRQ != "away" && claimed:
		interrupts = "those claimed arrive on CPU " + grant.CPUs.String()
	case claimed:
		interrupts += ", but for those claimed"
	}
	exec := part{"exec", []shield.Kind{shield.OwnThread}, !grant.ExecCPUs.IsEmpty(),
		fmt.Sprintf("runs on CPU %s, and the container's own threads do not", grant.ExecCPUs), false}
	if grant.Mask != "" {
		exec.name = "parts"
		exec.what = fmt.Sprintf("exec and ordinary threads run on CPU %s, real-time ones on CPU %s", grant.Ordinary, grant.RealTimePart())
	}
	return []part{
		{"partition", []shield.Kind{shield.Partition, shield.Exclusive}, grant.Level == shield.LevelPartition,
			fmt.Sprintf("of type %s: the kernel lets no other task onto CPU %s", grant.Partition, held), false},
		{"other tasks", []shield.Kind{shield.Thread, shield.Cpuset, shield.AllowedCPUs}, true,
			fmt.Sprintf("are kept off CPU %s (level %s)", held, grant.Level), true},
		exec,
		{"rules", []shield.Kind{shield.ByRule}, len(grant.Threads) > 0, "threads are as " + words(grant.Threads) + " says, and are watched", false},
		{"interrupts", []shield.Kind{shield.IRQ, shield.IRQDefault, shield.Irqbalance, shield.IrqbalanceAlone}, grant.IRQ == "away" || claimed, interrupts, true},
		{"kernel work", []shield.Kind{shield.Mask, shield.List}, true,
			"unbound workqueues, watchdog and packet steering leave CPU " + held.String(), true},
		{"budget", []shield.Kind{shield.RTBudget}, grant.Budget.Period > 0,
			fmt.Sprintf("real-time threads have %d of %d µs, and so have the cgroups above", grant.Budget.Runtime, grant.Budget.Period), false},
		{"power", shield.PowerKinds, grant.Power.String() != "", grant.Power.String(), false},
		{"huge pages", []shield.Kind{shield.HugePagePool}, len(grant.HugePages) > 0, words(grant.HugePages), false},
		{"cache", []shield.Kind{shield.L3Ways}, len(grant.Ways) > 0, fmt.Sprintf("no other task fills the ways %s of the L3", grant.Ways), false},
	}
}

func words[T fmt.Stringer](list []T) string {
	var words []string
	for _, one := range list {
		words = append(words, one.String())
	}
	return strings.Join(words, ", ")
}

// outerPromises tells of each part what status found: what somebody has changed is broken, the rest is what this host cannot.
func outerPromises(grant shield.Grant, limits []shield.Limit) []Promise {
	var promises []Promise
	told := make([]bool, len(limits))
	for _, part := range partsOf(grant) {
		var found []Promise
		drift := false
		for i, limit := range limits {
			if slices.Contains(part.kinds, limit.Kind) {
				told[i], drift = true, drift || limit.Drift
				found = append(found, ofLimit(part.name, limit))
			}
		}
		if part.promised && !drift && (len(found) == 0 || part.partly) {
			promises = append(promises, Promise{Name: part.name, Mark: Holds, What: part.what})
		}
		promises = append(promises, found...)
	}
	for i, limit := range limits {
		if !told[i] {
			promises = append(promises, ofLimit("wishes", limit))
		}
	}
	return promises
}

func ofLimit(name string, limit shield.Limit) Promise {
	promise := Promise{Name: name, Mark: Cannot, What: limit.What, Why: limit.Why, Help: limit.Help}
	if limit.Drift {
		promise.Mark = Broken
		if limit.Help == status.Reconcile {
			promise.Help = repair
		}
	}
	promise.kind = limit.Kind
	return promise
}
