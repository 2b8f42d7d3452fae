package check

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/irqbalance"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// managed: interrupts that nobody can keep off the pool. Before Linux 6.12 only a write tells: what an interrupt has already is
// written once more.
func managed(v *view) []Finding {
	f := Finding{Name: "managed interrupts", Mark: Good, Looked: []string{"/proc/irq/*/smp_affinity_list"}}
	numbers, err := irq.Numbers(v.Root)
	if err = errors.Join(err, v.limitsErr); err != nil {
		return unread(f.Name, f.Looked, err)
	}
	if v.refused != nil {
		return nil
	}
	names := v.trial.managed
	for _, limit := range v.limitsOf(shield.IRQ) {
		if name, _, arrives := strings.Cut(limit.What, " may arrive on CPU "); arrives && limit.Why == irq.ErrManaged.Error() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		f.Found = fmt.Sprintf("none of %d interrupts is bound to the shield by the kernel", len(numbers))
		if !v.Root.AtLeast(6, 12) && v.trial.managed == nil {
			f.Mark, f.Found = Unknown, "not tried: "+v.trial.notTried+" (before Linux 6.12 only a write tells)"
		}
		return one(f)
	}
	option, change := managedOption(v.Root, v.layout.Pool)
	f.Mark, f.Found = Limit, fmt.Sprintf("%d may arrive on %s: %s", len(names), cpuText(v.layout.Pool), few(names))
	f.Why = "the kernel lets nobody move them; each that arrives interrupts whatever runs there"
	switch {
	case option == "":
		f.Why = "isolcpus=managed_irq leaves them there only for what the CPUs of the shield do with the device themselves"
	case change:
		f.Do = []string{"boot with " + option + " in place of the present isolcpus="}
	default:
		f.Do, f.Boot = []string{"boot with " + option}, option
	}
	return one(f)
}

// few names the first of many.
func few(names []string) string {
	const most = 6
	if len(names) <= most {
		return joined(names)
	}
	return fmt.Sprintf("%s and %d more", joined(names[:most]), len(names)-most)
}

// refusedIRQs gives those among the interrupts which arrive on the pool that the kernel does not let go elsewhere.
func (v *view) refusedIRQs() ([]string, error) {
	refused := []string{}
	numbers, err := irq.Numbers(v.Root)
	reaches := shield.Reaching(v.layout.Pool.CPUSet)
	for _, number := range numbers {
		list, fixed, err := irq.Affinity(v.Root, number)
		if err != nil || fixed || !reaches(list) || irq.Name(v.Root, number) == "" {
			continue
		}
		if _, err := irq.SetAffinity(v.Root, number, list); errors.Is(err, irq.ErrManaged) {
			refused = append(refused, status.IRQName(v.Root, strconv.Itoa(number)))
		}
	}
	return refused, err
}

func balancer(v *view) []Finding {
	f := Finding{Name: "irqbalance", Mark: Good, Looked: []string{"/run/irqbalance", "irqbalance.service"}}
	running := irqbalance.Find(v.Root)
	if len(running) == 0 {
		f.Found = "does not run"
		return one(f)
	}
	f.Found = "runs, and is told which CPUs to leave out"
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if why := running[name]; why != "" {
			f.Mark, f.Found = Limit, "runs, and cannot be told which CPUs to leave out: "+why
			f.Why = "it brings interrupts back to a container's CPUs, every 10 s"
			f.Do = []string{"run it as a service of systemd, or take it out: systemctl disable --now irqbalance"}
		} else if strings.HasPrefix(name, "/") {
			f.Found += " by " + name + " and a restart"
		}
	}
	return one(f)
}
