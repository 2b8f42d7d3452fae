// Package reconcile brings the kernel to the plan: it reads the knobs, writes the differences, reads back, and keeps
// the baselines. It is safe to run at any time, by any process, any number of times.
package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/irqbalance"
	"github.com/rtshield/rtshield/internal/host/noise"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

// Plan reads the kernel and computes what every knob should be: reconcile applies it, status compares it, explain shows
// it for a grant that is not there yet. foresee, if not nil, may add to what was seen.
func Plan(root host.Root, ledger *shield.Ledger, foresee func(*shield.Observation)) ([]shield.Setting, error) {
	seen, err := observe(root, ledger)
	if err != nil {
		return nil, err
	}
	if err := observeThreads(root, ledger, seen, nil); err != nil {
		return nil, err
	}
	if foresee != nil {
		foresee(&seen)
	}
	return shield.Plan(ledger, seen), nil
}

// observe reads every knob that the ledger's grants or baselines concern, but for threads. Without either, it reads
// nothing.
func observe(root host.Root, ledger *shield.Ledger) (shield.Observation, error) {
	seen := emptyObservation()
	if ledger.Empty() {
		return seen, nil
	}
	online, err := root.Online()
	if err != nil {
		return seen, fmt.Errorf("online CPUs: %w", err)
	}
	seen.Online = online
	for _, part := range []func() error{
		func() error { return observeIRQs(root, ledger, &seen) },
		func() error { observeIrqbalance(root, ledger, seen); return nil },
		func() error { return observeCpusets(root, ledger, seen) },
		func() error { return observeBudgets(root, ledger, seen) },
		func() error { return observePartitions(root, ledger, seen) },
		func() error { return observeNoise(root, ledger, seen) },
		func() error { observePower(root, ledger, seen); return nil },
		func() error { return observeHugePages(root, ledger, seen) },
		func() error { return observeWays(root, ledger, &seen) },
	} {
		if err := part(); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func emptyObservation() shield.Observation {
	return shield.Observation{
		Masks: map[shield.Knob]string{}, Fixed: map[shield.Knob]string{}, Near: map[shield.Knob]cpuset.CPUSet{}, Budgets: map[string]shield.BudgetState{},
		Partitions: map[string]shield.PartitionState{}, Threads: map[shield.Knob]shield.ThreadState{},
		Values: map[shield.Knob]shield.ValueState{}, HugePages: map[shield.Knob]int64{},
	}
}

// observeIRQs reads every interrupt's affinity. One that seems to be away from the granted CPUs already, though we have no
// record of having moved it, is read again a moment later: it may be on its way back from the last container.
func observeIRQs(root host.Root, ledger *shield.Ledger, seen *shield.Observation) error {
	numbers, err := irq.Numbers(root)
	if err != nil {
		return err
	}
	var doubtful []int
	away := ledger.Away()
	reachesAway := shield.Reaching(away)
	for _, number := range numbers {
		knob, err := observeIRQ(root, *seen, number)
		if err != nil {
			return err
		}
		_, known := ledger.Baselines[knob.String()]
		if _, answers := seen.Masks[knob]; known && !answers && irq.Exists(root, number) { // one that was written is not per-CPU
			seen.Masks[knob], seen.Fixed[knob] = "", errNoAnswer.Error()
			continue
		}
		if !known && ledger.NewIRQ(knob) {
			if near, err := irq.Near(root, number); err == nil {
				seen.Near[knob] = near
			}
		}
		list, movable := seen.Masks[knob]
		if movable && !known && seen.Fixed[knob] == "" && !away.IsEmpty() && !reachesAway(list) {
			doubtful = append(doubtful, number)
		}
	}
	if len(doubtful) > 0 {
		time.Sleep(settle)
	}
	for _, number := range doubtful {
		if _, err := observeIRQ(root, *seen, number); err != nil {
			return err
		}
	}
	if claims(ledger) {
		if seen.Interrupts, err = irq.Names(root); err != nil {
			return err
		}
	}
	cpus, err := irq.Default(root)
	if err != nil {
		return err
	}
	seen.Masks[shield.Knob{Kind: shield.IRQDefault}] = cpus.String()
	return nil
}

func claims(ledger *shield.Ledger) bool {
	return slices.ContainsFunc(ledger.Grants, func(g shield.Grant) bool { return len(g.Claim) > 0 })
}

// observeIrqbalance asks each irqbalance that may have to be told. One that cannot be told, or does not answer, is seen
// with what we know of it, and with the reason.
func observeIrqbalance(root host.Root, ledger *shield.Ledger, seen shield.Observation) {
	claims := claims(ledger) || len(ledger.Noted(shield.IrqbalanceAlone)) > 0
	if ledger.Away().IsEmpty() && len(ledger.Noted(shield.Irqbalance)) == 0 && !claims {
		return
	}
	for name, why := range irqbalance.Find(root) {
		knob := shield.Knob{Kind: shield.Irqbalance, Name: name}
		if why != "" {
			seen.Masks[knob], seen.Fixed[knob] = "", why
			continue
		}
		now, err := irqbalance.Read(root, name)
		switch {
		case gone(err):
		case err != nil:
			seen.Masks[knob], seen.Fixed[knob] = "", err.Error()
		default:
			seen.Masks[knob] = now.Banned.String()
		}
		if claims && err == nil && irqbalance.Tells(name) {
			seen.Masks[shield.Knob{Kind: shield.IrqbalanceAlone, Name: name}] = now.Alone.String()
		}
	}
}

// Leftover says whether something is left that no ledger knows of any more: irqbalance's file outlives a reboot.
func Leftover(root host.Root) bool {
	_, _, found := irqbalance.Leftover(root)
	return found
}

// adoptLeftover finds a ban that a reboot left in irqbalance's file, with its baseline.
func adoptLeftover(root host.Root, ledger *shield.Ledger) {
	if file, own, found := irqbalance.Leftover(root); found {
		knob := shield.Knob{Kind: shield.Irqbalance, Name: file}
		if _, known := ledger.Baselines[knob.String()]; !known {
			ledger.Note(knob, own.String())
		}
	}
}

func observeIRQ(root host.Root, seen shield.Observation, number int) (shield.Knob, error) {
	knob := shield.Knob{Kind: shield.IRQ, Name: strconv.Itoa(number)}
	list, fixed, err := irq.Affinity(root, number)
	if errors.Is(err, fs.ErrNotExist) {
		return knob, nil
	}
	if err == nil {
		seen.Masks[knob] = list
	}
	if fixed {
		seen.Fixed[knob] = irq.ErrManaged.Error()
	}
	return knob, err
}

func observeBudgets(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	dirs := map[string]bool{}
	for _, dir := range ledger.BudgetDirs() {
		dirs[dir] = true
	}
	for _, knob := range ledger.Noted(shield.RTBudget) {
		dirs[knob.Name] = true
	}
	for dir := range dirs {
		runtime, period, err := rt.Budget(root, dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		state := shield.BudgetState{Budget: shield.Budget{Runtime: runtime, Period: period}}
		for _, child := range rt.Children(root, dir) {
			if dirs[child] {
				continue
			}
			if childRuntime, childPeriod, err := rt.Budget(root, child); err == nil && childPeriod > 0 {
				state.Others += childRuntime * period / childPeriod
			}
		}
		seen.Budgets[dir] = state
	}
	return nil
}

func observePartitions(root host.Root, ledger *shield.Ledger, seen shield.Observation) error {
	dirs := map[string]bool{}
	for _, grant := range ledger.Grants {
		for _, dir := range grant.Cgroups.Partition {
			dirs[dir] = true
		}
		if grant.Cgroups.Idle != "" {
			dirs[grant.Cgroups.Idle] = true
		}
	}
	for _, knob := range ledger.Noted(shield.Exclusive, shield.Partition) {
		dirs[knob.Name] = true
	}
	for dir := range dirs {
		kind, err := hostcpuset.PartitionType(root, dir)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		exclusive, err := hostcpuset.Exclusive(root, dir)
		if err != nil && !gone(err) { // Linux before 6.7 has no such file
			return err
		}
		seen.Partitions[dir] = shield.PartitionState{Exclusive: exclusive, Type: kind}
	}
	return nil
}

// observeNoise reads where the kernel does its own work. A queue without steering refuses the read (ENOENT, EINVAL), and
// there is nothing to steer then. What cannot be read for another reason is seen without a value, with the reason. Without a
// grant, only what is to be put back matters.
func observeNoise(root host.Root, ledger *shield.Ledger, seen shield.Observation) (err error) {
	masks, lists := noted(ledger, shield.Mask), noted(ledger, shield.List)
	if len(ledger.Grants) > 0 {
		lists = noise.Lists(root)
		if masks, err = noise.Masks(root); err != nil {
			return err
		}
	}
	see := func(kind shield.Kind, file string, cpus cpuset.CPUSet, err error) {
		knob := shield.Knob{Kind: kind, Name: file}
		switch {
		case err == nil:
			seen.Masks[knob] = cpus.String()
		case !gone(err) && !errors.Is(err, unix.EINVAL):
			seen.Masks[knob], seen.Fixed[knob] = "", err.Error()
		}
	}
	for _, file := range masks {
		cpus, err := noise.ReadMask(root, file)
		see(shield.Mask, file, cpus, err)
	}
	for _, file := range lists {
		cpus, err := root.ReadList(file)
		see(shield.List, file, cpus, err)
	}
	return nil
}

func noted(ledger *shield.Ledger, kind shield.Kind) (names []string) {
	for _, knob := range ledger.Noted(kind) {
		names = append(names, knob.Name)
	}
	return names
}

// gone: the file or its cgroup does not exist any more.
func gone(err error) bool { return host.Gone(err) }
