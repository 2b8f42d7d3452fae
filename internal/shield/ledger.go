package shield

import (
	"slices"
	"sort"
	"strconv"

	"k8s.io/utils/cpuset"
)

// LedgerVersion is written into the ledger; another version's is not read.
const LedgerVersion = 1

// Ledger is all that rtshield remembers between its invocations.
type Ledger struct {
	Version int `json:"version"`
	// BootID is /proc/sys/kernel/random/boot_id: after a reboot nothing in a ledger is true.
	BootID string `json:"bootID"`
	// Housekeeping is where work goes that had only granted CPUs.
	Housekeeping CPUs `json:"housekeeping"`
	// Exempt names tasks that are never moved (names, globs), as the layout said when the last grant was made.
	Exempt []string `json:"exempt,omitempty"`
	// Given maps each affinity that threads were given to the one that they had. Since is when that began, in clock ticks
	// since boot.
	Given    map[string]string `json:"given,omitempty"`
	Since    uint64            `json:"since,omitempty"`
	Grants   []Grant           `json:"grants"`
	Ordinary []Ordinary        `json:"ordinary,omitempty"`
	// Baselines holds, by Knob.String, the value of every knob before rtshield first touched it, as the kernel prints
	// it. A knob is forgotten once it is back at its baseline and no grant needs it.
	Baselines map[string]string `json:"baselines,omitempty"`
	// IRQs are the numbers of the interrupts that there were before default_smp_affinity was changed. Later ones began with
	// what we had left of it.
	IRQs CPUs `json:"irqs,omitzero"`
	// Unmovable holds, by Knob.String, why the kernel refused to change a knob.
	Unmovable map[string]string `json:"unmovable,omitempty"`

	// text is what the file on disk held, "" without one.
	text string
}

// Empty says whether there is anything to remember.
func (l *Ledger) Empty() bool {
	return len(l.Grants) == 0 && len(l.Ordinary) == 0 && len(l.Baselines) == 0
}

// Grant finds a container's grant, nil without.
func (l *Ledger) Grant(key Key) *Grant {
	for i := range l.Grants {
		if l.Grants[i].Key == key {
			return &l.Grants[i]
		}
	}
	return nil
}

// OrdinaryOf finds a container whose cpuset was cut, nil without.
func (l *Ledger) OrdinaryOf(key Key) *Ordinary {
	for i := range l.Ordinary {
		if l.Ordinary[i].Key == key {
			return &l.Ordinary[i]
		}
	}
	return nil
}

// Add puts a grant in, in place of one with the same key.
func (l *Ledger) Add(grant Grant) {
	l.Release(grant.Key)
	l.Grants = append(l.Grants, grant)
	sort.Slice(l.Grants, func(i, j int) bool { return less(l.Grants[i].Key, l.Grants[j].Key) })
}

// AddOrdinary puts an ordinary container in, in place of one with the same key.
func (l *Ledger) AddOrdinary(ordinary Ordinary) {
	l.Release(ordinary.Key)
	l.Ordinary = append(l.Ordinary, ordinary)
	sort.Slice(l.Ordinary, func(i, j int) bool { return less(l.Ordinary[i].Key, l.Ordinary[j].Key) })
}

// Release takes a container out and says whether it was in. Its knobs go back with the next reconcile.
func (l *Ledger) Release(key Key) bool {
	found := l.Grant(key) != nil || l.OrdinaryOf(key) != nil
	if !found {
		return false
	}
	l.Grants = without(l.Grants, func(g Grant) bool { return g.Key == key })
	l.Ordinary = without(l.Ordinary, func(o Ordinary) bool { return o.Key == key })
	return true
}

func without[T any](list []T, drop func(T) bool) []T {
	kept := list[:0:0]
	for _, item := range list {
		if !drop(item) {
			kept = append(kept, item)
		}
	}
	return kept
}

func less(a, b Key) bool {
	if a.Root != b.Root {
		return a.Root < b.Root
	}
	return a.ID < b.ID
}

// Held gives all CPUs that any grant holds, idle siblings included.
func (l *Ledger) Held() cpuset.CPUSet { return heldBy(l.Grants) }

// Note records a knob's baseline.
func (l *Ledger) Note(knob Knob, baseline string) {
	if l.Baselines == nil {
		l.Baselines = map[string]string{}
	}
	l.Baselines[knob.String()] = baseline
}

// NoteIRQs records which interrupts there are, as long as new ones get what the administrator wants.
func (l *Ledger) NoteIRQs(seen Observation) {
	if _, changed := l.Baselines[Knob{Kind: IRQDefault}.String()]; changed {
		return
	}
	var numbers []int
	for knob := range seen.Masks {
		if number, err := strconv.Atoi(knob.Name); err == nil && knob.Kind == IRQ {
			numbers = append(numbers, number)
		}
	}
	l.IRQs = CPUsOf(cpuset.New(numbers...))
}

// NewIRQ says whether an interrupt has appeared since.
func (l *Ledger) NewIRQ(knob Knob) bool {
	number, err := strconv.Atoi(knob.Name)
	return err == nil && !l.IRQs.IsEmpty() && !l.IRQs.Contains(number)
}

// Noted lists the knobs with a baseline that are of one of these kinds.
func (l *Ledger) Noted(kinds ...Kind) []Knob {
	var knobs []Knob
	for name := range l.Baselines {
		if knob, err := ParseKnob(name); err == nil && slices.Contains(kinds, knob.Kind) {
			knobs = append(knobs, knob)
		}
	}
	return knobs
}

// AnyLevel says whether some grant has this level.
func (l *Ledger) AnyLevel(level string) bool {
	for _, grant := range l.Grants {
		if grant.Level == level {
			return true
		}
	}
	return false
}

// Away gives the CPUs that interrupts must leave.
func (l *Ledger) Away() cpuset.CPUSet {
	away := cpuset.New()
	for _, grant := range l.Grants {
		if grant.IRQ == "away" {
			away = away.Union(grant.Held().CPUSet)
		}
	}
	return away
}

// Had gives the affinity that threads had before they were given this one, and false if none were given it.
func (l *Ledger) Had(given cpuset.CPUSet) (cpuset.CPUSet, bool) {
	had, err := cpuset.Parse(l.Given[given.String()])
	return had, err == nil && !had.IsEmpty()
}
