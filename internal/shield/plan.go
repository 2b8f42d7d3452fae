package shield

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Kind says what sort of kernel setting a knob is.
type Kind string

// The kinds of knobs. Those down to Thread hold sets of CPUs, but for RTBudget and Partition.
const (
	// IRQ is /proc/irq/<name>/smp_affinity_list.
	IRQ Kind = "irq"
	// IRQDefault is /proc/irq/default_smp_affinity, which new interrupts get. It has no name.
	IRQDefault Kind = "irq-default"
	// Cpuset is cpuset.cpus of the cgroup directory <name>.
	Cpuset Kind = "cpuset"
	// RTBudget is cpu.rt_runtime_us, in microseconds, of the cgroup v1 directory <name>.
	RTBudget Kind = "rt-budget"
	// Mask is any file <name> that holds a hexadecimal CPU mask, List one that holds a CPU list: where the kernel does
	// its own work.
	Mask Kind = "mask"
	List Kind = "list"
	// Exclusive is cpuset.cpus.exclusive, Partition is cpuset.cpus.partition of the cgroup v2 directory <name>.
	Exclusive Kind = "exclusive"
	Partition Kind = "partition"
	// Thread is the affinity of the thread <tid>:<start time>. OwnThread is one of a container itself, ByRule what a thread rule
	// gives one; these are no knobs.
	Thread    Kind = "thread"
	OwnThread Kind = "own-thread"
	ByRule    Kind = "rule"
	// WakeLatency is power/pm_qos_resume_latency_us of CPU <name>, in microseconds: "n/a" allows no sleep state, 0 any.
	WakeLatency Kind = "wake-latency"
	// FairServer is sched/fair_server/cpu<name>/runtime in debugfs, in nanoseconds.
	FairServer Kind = "fair-server"
	// Governor, MinFreq and Preference are scaling_governor, scaling_min_freq (in kHz) and energy_performance_preference
	// of the cpufreq policy <name>.
	Governor   Kind = "governor"
	MinFreq    Kind = "min-freq"
	Preference Kind = "preference"
	// Irqbalance is what an irqbalance leaves out, by what it is told through (internal/host/irqbalance).
	Irqbalance Kind = "irqbalance"
	// IrqbalanceAlone are the interrupts, by number, that an irqbalance is told to leave where they are.
	IrqbalanceAlone Kind = "irqbalance-alone"
	// AllowedCPUs is that property of the systemd unit <name>, which systemd writes into cpuset.cpus of the unit's cgroup.
	// DropIn notes the text of the file that holds it, where there was one before.
	AllowedCPUs Kind = "allowed-cpus"
	DropIn      Kind = "drop-in"
	// HugePagePool is how many huge pages a memory node's pool has, those apart that go once they are free (surplus). The name is
	// node/size in kB, "0/2048".
	HugePagePool Kind = "huge-pages"
	// L3Ways are the ways of the L3 that all tasks outside of resctrl's groups may fill. It has no name.
	L3Ways Kind = "l3-ways"
)

// Knob names one kernel setting.
type Knob struct {
	Kind Kind
	Name string
}

// String gives the form used in the ledger, "irq:24".
func (k Knob) String() string { return string(k.Kind) + ":" + k.Name }

// ParseKnob reads what String gave.
func ParseKnob(text string) (Knob, error) {
	kind, name, found := strings.Cut(text, ":")
	if !found {
		return Knob{}, fmt.Errorf("%q names no knob", text)
	}
	return Knob{Kind(kind), name}, nil
}

// Observation is what the kernel says now. It covers every interrupt, and every knob with a baseline that still exists.
type Observation struct {
	Online cpuset.CPUSet
	// Masks holds the knobs whose value is a set of CPUs, as lists in the kernel's format.
	Masks map[Knob]string
	// Fixed says of knobs that the kernel will not change them, and why, where that is seen without trying.
	Fixed map[Knob]string
	// Near holds, for the interrupts that are new to the ledger, the CPUs of the device's node where it has one.
	Near map[Knob]cpuset.CPUSet
	// Interrupts holds the names of each by number, where a grant claims some.
	Interrupts map[int][]string
	// Budgets holds cgroup v1 cpu directories.
	Budgets map[string]BudgetState
	// Partitions holds cgroup v2 directories.
	Partitions map[string]PartitionState
	// Threads holds those that no cpuset keeps off the held CPUs, by knob.
	Threads map[Knob]ThreadState
	// Values holds what Power is about.
	Values map[Knob]ValueState
	// HugePages holds the sizes of pools.
	HugePages map[Knob]int64
	// Ways are L3Ways, nil where that is no question.
	Ways Ways
}

// ThreadState is one thread's affinity.
type ThreadState struct {
	CPUs cpuset.CPUSet
	// Allowed is the effective cpuset of its cgroup. Loose threads are in one that cannot be shrunk.
	Allowed cpuset.CPUSet
	Loose   bool
	// Kernel: a thread of the kernel, which inherits no affinity.
	Kernel bool
	// Start is its start time in clock ticks since boot.
	Start uint64
	// Name is its comm, for people.
	Name string
	// Fixed says why the kernel keeps it where it is. Empty for one that can be moved.
	Fixed string
	// Exempt: the administrator keeps it where it is.
	Exempt bool
	// Left: it is of a process that waits for containers, whose class leaves that where it is.
	Left bool
}

// PartitionState is one cgroup v2 directory's share of exclusive CPUs.
type PartitionState struct {
	Exclusive cpuset.CPUSet
	// Type is member, root or isolated, followed by the kernel's reason if it is invalid.
	Type string
}

// Exempt is why an exempt thread stays, LeftHelper why one of the engine's helpers does.
const (
	Exempt     = "[layout] exempt"
	LeftHelper = `helpers = "leave"`
)

// BudgetState is one directory's real-time budget, in microseconds.
type BudgetState struct {
	Budget
	// Others is what the child directories that are not observed themselves hold together, in terms of this
	// directory's period.
	Others int64
}

// Setting is one knob's place in the plan.
type Setting struct {
	Knob
	// Baseline is the value before rtshield, Now the kernel's, Want the one it should have.
	Baseline, Now, Want string
	// Whole is what a thread had, where Baseline is only what its cpuset lets it have of that now.
	Whole string
	// Kernel: a thread of the kernel's own, which hands nothing on.
	Kernel bool
	// Clipped: told all that it had, a thread gets Want, because the kernel itself keeps it off partitions.
	Clipped bool
	// Fixed says why the kernel will not take Want, where that is known without trying.
	Fixed string
	// Written says that we have written this interrupt before, so that what it reads now cannot be trusted for a moment:
	// while the kernel moves an interrupt, smp_affinity_list shows its former value (seen on Linux 6.18, below 1 ms). Nor can
	// what irqbalance shows, until it has scanned.
	Written bool
	// For is the container that claims this interrupt.
	For Key
	// Label is a thread's name.
	Label string
	// CPUs are those that a setting of Power governs.
	CPUs cpuset.CPUSet
	// Follows: its baseline stays noted even if nothing is written here: writing the governor may change it too, a thread
	// waits for a CPU that is offline, a cpuset would look like a copy of one above it.
	Follows bool
}

// Had is the value to note: what the knob had before rtshield.
func (s Setting) Had() string {
	if s.Whole != "" {
		return s.Whole
	}
	return s.Baseline
}

// Differs says whether the kernel has to be told.
func (s Setting) Differs() bool { return s.Now != s.Want }

// Plan computes the value that every knob should have now: its baseline, less what the live grants take. It lists the
// knobs that some grant touches and those with a baseline on record, in the order in which they must be written.
//
// A grant counts once it is bound: before, its cgroup is not known, and might be pushed aside with the others.
func Plan(ledger *Ledger, seen Observation) []Setting {
	bound := *ledger
	bound.Grants = without(ledger.Grants, func(g Grant) bool { return !g.Bound })
	ledger = &bound
	settings := slices.Concat(planMasks(ledger, seen), planBudgets(ledger, seen), planPartitions(ledger, seen), planThreads(ledger, seen), planPower(ledger, seen), planHugePages(ledger, seen), planWays(ledger, seen))
	sort.SliceStable(settings, func(i, j int) bool { return before(settings[i], settings[j]) })
	return settings
}

func planMasks(ledger *Ledger, seen Observation) []Setting {
	lists := Lists{}
	held := ledger.Held()
	interrupts := newLesser(lists, ledger.Away(), ledger.Housekeeping.CPUSet, seen.Online)
	others := newLesser(lists, held, ledger.Housekeeping.CPUSet, seen.Online)
	var settings []Setting
	for knob, now := range seen.Masks {
		recorded, known := ledger.Baselines[knob.String()]
		baseline := now
		if !known && knob.Kind == Cpuset {
			recorded, known = inheritedCpuset(ledger, seen, knob, now)
		}
		if !known && knob.Kind == IRQ {
			recorded, known = inheritedAffinity(ledger, seen, knob, now)
		}
		if known {
			baseline = recorded
		}
		setting := Setting{Knob: knob, Baseline: baseline, Now: now, Written: known && (knob.Kind == IRQ || knob.Kind == Irqbalance)}
		switch claimant := claimedBy(ledger, seen, knob); {
		case claimant != nil:
			setting.Want, setting.For = claimant.CPUs.String(), claimant.Key
		case knob.Kind == IRQ, knob.Kind == IRQDefault:
			setting.Want = interrupts.of(baseline)
		case knob.Kind == Irqbalance: // the one that holds what is left out
			setting.Want = lists.Set(baseline).Union(ledger.Away()).String()
		case knob.Kind == IrqbalanceAlone:
			setting.Want = lists.Set(baseline).Union(claimed(ledger, seen)).String()
		case baseline == "" && !held.IsEmpty() && seen.Fixed[knob] != "" && knob.Kind != Cpuset && knob.Kind != AllowedCPUs: // it cannot be read
			setting.Want = seen.Online.Difference(held).String()
		default:
			less := others
			if below := ledger.below(knob); !below.IsEmpty() { // it was shrunk before a grant came below it, which needs its own from it
				less = newLesser(lists, held.Difference(below), ledger.Housekeeping.CPUSet, seen.Online)
			}
			setting.Want = less.of(baseline)
			if isSet := knob.Kind == Cpuset || knob.Kind == AllowedCPUs; isSet && baseline == "" && !less.taken.IsEmpty() { // on cgroup v2: all that the parent has
				setting.Want = seen.Online.Difference(less.taken).String()
			}
		}
		setting.Follows = knob.Kind == Cpuset && keepsOwn(ledger, seen, others, setting, known)
		if !known && setting.Want == baseline && !setting.Follows {
			continue
		}
		if setting.Differs() || knob.Kind == Irqbalance {
			setting.Fixed = seen.Fixed[knob]
		}
		settings = append(settings, setting)
	}
	return settings
}

// below gives what the grants hold whose cgroups are below a cpuset or a unit of systemd.
func (l *Ledger) below(knob Knob) cpuset.CPUSet {
	var path string
	switch knob.Kind {
	case Cpuset:
		path = knob.Name + "/"
	case AllowedCPUs:
		path = "/" + knob.Name + "/"
	default:
		return cpuset.New()
	}
	return heldBy(without(l.Grants, func(g Grant) bool { return !strings.Contains(g.Cgroups.Cpuset, path) }))
}

// inheritedCpuset: a cgroup v1 directory that was made below one that we had shrunk got a copy of the shrunk set. It gets
// back what its parent does, unless it is a container's that asked for just these CPUs.
func inheritedCpuset(ledger *Ledger, seen Observation, knob Knob, now string) (string, bool) {
	if slices.ContainsFunc(ledger.Ordinary, func(o Ordinary) bool { return o.Cpuset == knob.Name && o.Wanted.String() == now }) {
		return "", false
	}
	for dir := path.Dir(knob.Name); dir != "/" && dir != "."; dir = path.Dir(dir) {
		parent := Knob{Cpuset, dir}
		if recorded, known := ledger.Baselines[parent.String()]; known {
			return recorded, now != "" && seen.Masks[parent] == now
		}
	}
	return "", false
}

// keepsOwn: a cpuset that was there before one above it was shrunk, and says the same by chance, is noted with what it says:
// it could be taken for a copy later, and widened with the other.
func keepsOwn(ledger *Ledger, seen Observation, others lesser, setting Setting, known bool) bool {
	if setting.Want != setting.Baseline || setting.Baseline == "" {
		return false
	}
	for dir := path.Dir(setting.Name); dir != "/" && dir != "."; dir = path.Dir(dir) {
		above := Knob{Cpuset, dir}
		now, there := seen.Masks[above]
		if !there {
			continue
		}
		recorded, before := ledger.Baselines[above.String()]
		if !before {
			recorded = now
		}
		if shrunk := others.of(recorded); shrunk != recorded && shrunk == setting.Baseline {
			return known || !before
		}
	}
	return false
}

// inheritedAffinity: an interrupt that appeared since default_smp_affinity was changed got that, of it the CPUs next to the
// device if there are any. It gets back what it would have had.
func inheritedAffinity(ledger *Ledger, seen Observation, knob Knob, now string) (string, bool) {
	recorded, changed := ledger.Baselines[Knob{Kind: IRQDefault}.String()]
	if !changed || !ledger.NewIRQ(knob) {
		return "", false
	}
	preset := func(list string) string {
		mask, _ := cpuset.Parse(list)
		if near := mask.Intersection(seen.Near[knob]); !near.IsEmpty() {
			return near.String()
		}
		return list
	}
	return preset(recorded), now == preset(seen.Masks[Knob{Kind: IRQDefault}])
}

// lessTaken is the heart of the plan for a mask. What would be left without any CPU goes to the refuge, and stays as
// it is when there is none. An empty mask says "off" (RPS), and stays so.
func lessTaken(baseline, taken, refuge, online cpuset.CPUSet) cpuset.CPUSet {
	if baseline.Intersection(taken).IsEmpty() {
		return baseline
	}
	if left := baseline.Difference(taken); !left.Intersection(online).IsEmpty() {
		return left
	}
	if !refuge.IsEmpty() {
		return refuge
	}
	return baseline
}

func planBudgets(ledger *Ledger, seen Observation) []Setting {
	needs := map[string]Budget{} // by the container's own directory
	touched := map[string]bool{}
	for _, fund := range ledger.funded() {
		needs[fund.chain[len(fund.chain)-1]] = fund.budget
		for _, dir := range fund.chain {
			touched[dir] = true
		}
	}
	dirs := make([]string, 0, len(seen.Budgets))
	for dir := range seen.Budgets {
		dirs = append(dirs, dir)
	}
	// Deepest first: a directory's need is the sum of its children's.
	sort.Slice(dirs, func(i, j int) bool {
		if di, dj := depth(dirs[i]), depth(dirs[j]); di != dj {
			return di > dj
		}
		return dirs[i] < dirs[j]
	})
	below := map[string]int64{}
	var settings []Setting
	for _, dir := range dirs {
		state := seen.Budgets[dir]
		baseline := state.Runtime
		recorded, known := ledger.Baselines[Knob{RTBudget, dir}.String()]
		if known {
			baseline, _ = strconv.ParseInt(recorded, 10, 64)
		}
		want := baseline
		if touched[dir] {
			need := state.Others + below[dir]
			if leaf, ok := needs[dir]; ok {
				need = scale(leaf, state.Period)
			}
			want = max(baseline, need)
		}
		if parent, ok := seen.Budgets[path.Dir(dir)]; ok {
			below[path.Dir(dir)] += scale(Budget{want, state.Period}, parent.Period)
		}
		if known || touched[dir] {
			settings = append(settings, Setting{
				Knob:     Knob{RTBudget, dir},
				Baseline: strconv.FormatInt(baseline, 10), Now: strconv.FormatInt(state.Runtime, 10), Want: strconv.FormatInt(want, 10),
			})
		}
	}
	return settings
}

// scale gives the runtime that has the same share of period as budget of its own, rounded up.
func scale(budget Budget, period int64) int64 {
	if budget.Period == period || budget.Period == 0 || budget.Runtime <= 0 {
		return budget.Runtime
	}
	return (budget.Runtime*period + budget.Period - 1) / budget.Period
}

func naturalLess(a, b string) bool {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX == nil && errY == nil {
		return x < y
	}
	return a < b
}
