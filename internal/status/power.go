package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// powerLimits gathers what a grant asks for of sleep and frequency and cannot have, one limit for each reason.
type powerLimits struct {
	reasons []string
	words   map[string][]string
	cpus    map[string]cpuset.CPUSet
	kinds   map[string]shield.Kind // the first of each reason
	drifted []shield.Limit
}

func (l *powerLimits) add(grant shield.Grant, setting shield.Setting) {
	cpus := setting.CPUs.Intersection(grant.CPUs.CPUSet)
	wish := grant.Power.Wish(setting.Kind)
	if wish == "" || cpus.IsEmpty() {
		return
	}
	why := setting.Fixed
	switch {
	case setting.Differs() && why == "":
		l.drifted = append(l.drifted, drift(reconcile.KnobPath(setting.Knob), setting))
		return
	case !setting.Differs():
		why = setting.Misses(grant.Power)
	}
	if why == "" {
		return
	}
	if l.words == nil {
		l.words, l.cpus, l.kinds = map[string][]string{}, map[string]cpuset.CPUSet{}, map[string]shield.Kind{}
	}
	word := setting.Kind.Option() + " " + wish
	switch known, seen := l.words[why]; {
	case !seen:
		l.reasons, l.kinds[why] = append(l.reasons, why), setting.Kind
		fallthrough
	case !slices.Contains(known, word):
		l.words[why] = append(known, word)
	}
	l.cpus[why] = l.cpus[why].Union(cpus)
}

func (l *powerLimits) list() []shield.Limit {
	limits := l.drifted
	for _, why := range l.reasons {
		what := fmt.Sprintf("CPU %s cannot have %s", l.cpus[why], strings.Join(l.words[why], ", "))
		limits = append(limits, shield.Limit{What: what, Why: why, Kind: l.kinds[why]})
	}
	return limits
}

// sleepLimit: the bound on the exit latency is there on every kernel, and is heeded by cpuidle's drivers only.
func sleepLimit(root host.Root, grant shield.Grant) []shield.Limit {
	wish := grant.Power.Wish(shield.WakeLatency)
	if wish == "" || power.IdleDriver(root) != "none" {
		return nil
	}
	return []shield.Limit{{
		What: fmt.Sprintf("cstates %s has no effect on CPU %s", wish, grant.CPUs),
		Why:  "no cpuidle driver: the kernel has one way to idle, and a hypervisor decides how deep that is",
		Kind: shield.WakeLatency,
	}}
}
