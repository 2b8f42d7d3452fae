package verify

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// suspect is a program that changes such settings by itself.
type suspect struct {
	// comm is its name as the kernel has it, of at most 15 characters.
	comm  string
	what  string
	kinds []shield.Kind
}

// suspects: what each writes is from tuned's plugins (scheduler, cpu, sysctl, irqbalance) and from docs/irqbalance-and-systemd.md.
// irqbalance is one only while it was not told.
var suspects = []suspect{
	{"irqbalance", "irqbalance runs and was not told to leave that CPU out", []shield.Kind{shield.IRQ}},
	{"tuned", "tuned runs, and its profile may", append([]shield.Kind{
		shield.IRQ, shield.IRQDefault, shield.Mask, throttleKind,
	}, shield.PowerKinds...)},
	{"power-profiles-", "power-profiles-daemon runs", []shield.Kind{shield.Governor, shield.MinFreq, shield.Preference}},
	{"systemd", "systemd does so at set-property, and after a daemon-reload",
		[]shield.Kind{shield.Cpuset, shield.AllowedCPUs, shield.Partition, shield.Exclusive, quotaKind, swapKind}},
}

// What is no knob, and is blamed on somebody all the same.
const (
	quotaKind    shield.Kind = "quota"
	swapKind     shield.Kind = "swap"
	throttleKind shield.Kind = "throttle"
)

// blame says of what is broken who may have done it, as far as that can be told.
func (j Job) blame(report *Report) {
	if report.Totals[Broken] == 0 {
		return
	}
	running := runningSuspects(j.Root)
	for c := range report.Containers {
		promises := report.Containers[c].Promises
		untold := slices.ContainsFunc(promises, func(p Promise) bool { return p.Mark == Broken && p.kind == shield.Irqbalance })
		for i := range promises {
			if promise := &promises[i]; promise.Mark == Broken && promise.Why == status.Changed {
				promise.Why = culprits(promise.kind, running, untold)
			}
		}
	}
}

// culprits names those of the running programs that change settings of a kind.
func culprits(kind shield.Kind, running []string, untold bool) string {
	var names []string
	for _, suspect := range suspects {
		runs := slices.Contains(running, suspect.comm) && (suspect.comm != "irqbalance" || untold)
		if runs && slices.Contains(suspect.kinds, kind) {
			names = append(names, suspect.what)
		}
	}
	if len(names) == 0 {
		return status.Changed
	}
	return status.Changed + "; " + strings.Join(names, "; ")
}

// Meddlers gives the names of the running programs that change settings by themselves, but for systemd.
func Meddlers(root host.Root) []string {
	return slices.DeleteFunc(runningSuspects(root), func(name string) bool { return name == "systemd" })
}

func runningSuspects(root host.Root) []string {
	var running []string
	names, _ := root.List("proc")
	for _, name := range names {
		if _, err := strconv.Atoi(name); err != nil {
			continue
		}
		comm, err := root.Read("proc", name, "comm")
		if err == nil && slices.ContainsFunc(suspects, func(s suspect) bool { return s.comm == comm }) && !(comm == "systemd" && !systemd.Runs(root)) {
			running = append(running, comm)
		}
	}
	return running
}
