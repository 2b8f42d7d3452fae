package status

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/irqbalance"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Limits names what may still use a grant's CPUs, and why: the settings of the plan that the kernel does not have.
func Limits(root host.Root, ledger *shield.Ledger, plan []shield.Setting, grant shield.Grant) []shield.Limit {
	var limits []shield.Limit
	threads := map[string][]string{} // why → names
	held := grant.Held().CPUSet
	var power powerLimits
	for _, setting := range plan {
		if setting.Fixed == "" {
			setting.Fixed = ledger.Unmovable[setting.Knob.String()]
		}
		now, err := cpuset.Parse(setting.Now)
		reaches := err == nil && !now.Intersection(held).IsEmpty()
		switch setting.Kind {
		case shield.WakeLatency, shield.FairServer, shield.Governor, shield.MinFreq, shield.Preference:
			power.add(grant, setting)
		case shield.RTBudget, shield.Exclusive, shield.Partition, shield.HugePagePool, shield.L3Ways:
			if setting.Differs() && grant.Needs(setting.Knob) {
				limits = append(limits, drift(reconcile.KnobPath(setting.Knob), setting))
			}
		case shield.Thread:
			if setting.Differs() && reaches {
				threads[setting.Fixed] = append(threads[setting.Fixed], setting.Label)
			}
		case shield.IRQ:
			if setting.For != (shield.Key{}) {
				if setting.For == grant.Key && setting.Differs() {
					limits = append(limits, claimLimit(root, setting))
				}
				continue
			}
			if grant.IRQ != "away" || !hasHandler(root, setting.Name) {
				continue // without a handler it never arrives
			}
			if setting.Differs() && reaches {
				limits = append(limits, IRQLimit(root, setting))
			} else if limit, late := lateIRQ(root, setting, held); late {
				limits = append(limits, limit)
			}
		case shield.AllowedCPUs: // empty is all
			if setting.Differs() && grant.Level == shield.LevelCpuset {
				limits = append(limits, drift(reconcile.KnobPath(setting.Knob), setting))
			}
		case shield.IrqbalanceAlone:
			if len(grant.Claim) > 0 && setting.Differs() {
				limit := shield.Limit{What: "irqbalance may take claimed interrupts away"}
				limits = append(limits, unlessFixed(setting, limit, "it was restarted or told something else"))
			}
		case shield.Irqbalance:
			if limit, late := irqbalanceLimit(root, setting, grant); late {
				limits = append(limits, limit)
			}
		default:
			unread := setting.Now == "" && setting.Fixed != ""
			if setting.Differs() && (reaches || unread) {
				limits = append(limits, drift(reconcile.KnobPath(setting.Knob), setting))
			}
		}
	}
	told := func(kind shield.Kind) bool {
		return slices.ContainsFunc(plan, func(s shield.Setting) bool { return s.Kind == kind })
	}
	if len(grant.Claim) > 0 && told(shield.Irqbalance) && !told(shield.IrqbalanceAlone) {
		limits = append(limits, shield.Limit{
			Kind: shield.IrqbalanceAlone, What: "irqbalance may take claimed interrupts away again", Why: "without a socket it is told of CPUs, not of interrupts",
			Help: "rtshield reconcile brings them back; IRQBALANCE_ARGS=--banirq=<n> keeps them",
		})
	}
	if grant.Level == shield.LevelAffinity {
		limits = append(limits, shield.Limit{
			Kind: shield.Thread, What: fmt.Sprintf("tasks that start from now on may run on CPU %s", held),
			Why: "level affinity: no cpuset keeps others off", Help: "rtshield reconcile moves them away",
		})
	}
	return slices.Concat(limits, threadLimits(threads, held), power.list(), sleepLimit(root, grant))
}

// Foreseen names what will still be able to use a grant's CPUs once the rest of the plan is carried out.
func Foreseen(root host.Root, plan []shield.Setting, grant shield.Grant) []shield.Limit {
	var fixed []shield.Setting
	for _, setting := range plan {
		switch {
		case setting.Fixed != "":
			fixed = append(fixed, setting)
		case slices.Contains(shield.PowerKinds, setting.Kind): // what others wish may be stronger
			setting.Now = setting.Want
			fixed = append(fixed, setting)
		}
	}
	return Limits(root, &shield.Ledger{}, fixed, grant)
}

func drift(what string, setting shield.Setting) shield.Limit {
	return unlessFixed(setting, shield.Limit{What: fmt.Sprintf("%s is %q and should be %q", what, setting.Now, setting.Want)}, Changed)
}

// Changed is why a setting is not as it should be when nothing tells who changed it, Reconcile what helps.
const (
	Changed   = "somebody changed it"
	Reconcile = "rtshield reconcile"
)

// unlessFixed tells what this host cannot do from what somebody has changed since, and how.
func unlessFixed(setting shield.Setting, limit shield.Limit, how string) shield.Limit {
	limit.Kind, limit.Why = setting.Kind, setting.Fixed
	if setting.Fixed == "" {
		limit.Drift, limit.Why, limit.Help = true, how, Reconcile
	}
	return limit
}

func threadLimits(threads map[string][]string, held cpuset.CPUSet) []shield.Limit {
	reasons := make([]string, 0, len(threads))
	for why := range threads {
		reasons = append(reasons, why)
	}
	sort.Strings(reasons)
	var limits []shield.Limit
	for _, why := range reasons {
		names := threads[why]
		sort.Strings(names)
		limit := shield.Limit{
			What: fmt.Sprintf("%d thread(s) may run on CPU %s: %s", len(names), held, strings.Join(slices.Compact(names), ", ")),
		}
		limits = append(limits, unlessFixed(shield.Setting{Knob: shield.Knob{Kind: shield.Thread}, Fixed: why}, limit, "started or moved there since"))
	}
	return limits
}

// strayLimits: threads of the container itself that may run where only what exec adds should.
func strayLimits(root host.Root, grant shield.Grant) []shield.Limit {
	strays, err := reconcile.Strays(root, grant)
	if err != nil || len(strays) == 0 {
		return nil
	}
	var names []string
	for _, stray := range strays {
		names = append(names, stray.Label)
	}
	sort.Strings(names)
	where := "may run on CPU " + grant.ExecCPUs.String()
	if grant.Mask != "" {
		where = fmt.Sprintf("are in neither part alone (ordinary CPU %s, real-time CPU %s)", grant.Ordinary, grant.RealTimePart())
	}
	return []shield.Limit{{
		What: fmt.Sprintf("%d thread(s) of the container %s: %s", len(names), where, strings.Join(slices.Compact(names), ", ")),
		Why:  "its program asked for that, or its cpuset was written (Linux before 6.2)", Help: Reconcile,
		Kind: shield.OwnThread, Drift: true,
	}}
}

// lateIRQ: the new affinity is written, but on x86 without interrupt remapping the kernel moves an interrupt only when it
// arrives once more.
func lateIRQ(root host.Root, setting shield.Setting, held cpuset.CPUSet) (shield.Limit, bool) {
	number, err := strconv.Atoi(setting.Name)
	if err != nil {
		return shield.Limit{}, false
	}
	effective, err := irq.Effective(root, number)
	reached := effective.Intersection(held)
	if err != nil || reached.IsEmpty() {
		return shield.Limit{}, false
	}
	return shield.Limit{
		What: irqName(root, setting.Name) + " arrives once more on CPU " + reached.String(), Why: "the kernel moves it with its next interrupt",
		Kind: shield.IRQ,
	}, true
}

// irqbalanceLimit says that irqbalance may bring interrupts back. It shows what it was told only from its next scan on, but
// moves nothing before, so that a new grant is given the time.
func irqbalanceLimit(root host.Root, setting shield.Setting, grant shield.Grant) (shield.Limit, bool) {
	now, _ := cpuset.Parse(setting.Now)
	missing := grant.Held().Difference(now)
	if grant.IRQ != "away" || missing.IsEmpty() {
		return shield.Limit{}, false
	}
	if setting.Fixed == "" {
		state, err := irqbalance.Read(root, setting.Name)
		if err == nil && time.Since(grant.Created) < state.Interval+time.Second {
			return shield.Limit{}, false
		}
	}
	limit := shield.Limit{What: "irqbalance may bring interrupts to CPU " + missing.String()}
	return unlessFixed(setting, limit, "it was restarted or told something else"), true
}

// IRQLimit says that an interrupt may still arrive where it should not, and why.
func IRQLimit(root host.Root, setting shield.Setting) shield.Limit {
	now, _ := cpuset.Parse(setting.Now)
	want, _ := cpuset.Parse(setting.Want)
	unwanted := now.Difference(want).String()
	limit := unlessFixed(setting, shield.Limit{What: irqName(root, setting.Name) + " may arrive on CPU " + unwanted}, Changed)
	if setting.Fixed == irq.ErrManaged.Error() {
		if n, err := strconv.Atoi(setting.Name); err == nil && n > 0 { // 0 is the timer on x86
			limit.Help = "boot with isolcpus=managed_irq," + unwanted + " if it is a device's queue"
		}
	}
	return limit
}

// claimLimit says that a claimed interrupt may arrive elsewhere.
func claimLimit(root host.Root, setting shield.Setting) shield.Limit {
	limit := IRQLimit(root, setting)
	limit.What = fmt.Sprintf("%s is claimed, and may arrive on CPU %s", irqName(root, setting.Name), setting.Now)
	if setting.Fixed != "" {
		limit.Help = ""
	}
	return limit
}

func hasHandler(root host.Root, number string) bool {
	n, err := strconv.Atoi(number)
	return err == nil && irq.Name(root, n) != ""
}

func irqName(root host.Root, number string) string {
	n, _ := strconv.Atoi(number)
	if name := irq.Name(root, n); name != "" {
		return "irq " + number + " (" + name + ")"
	}
	return "irq " + number
}
