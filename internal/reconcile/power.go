package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/shield"
)

// ofPolicy are the kinds of knobs that a cpufreq policy has, by the names of its files.
var ofPolicy = map[shield.Kind]string{
	shield.Governor: power.Governor, shield.MinFreq: power.MinFreq, shield.Preference: power.Preference,
}

// powerFile is the file that a knob of shield.Power is, "" for other kinds.
func powerFile(knob shield.Knob) string {
	cpu, _ := strconv.Atoi(knob.Name)
	switch knob.Kind {
	case shield.WakeLatency:
		return power.Latency(cpu)
	case shield.FairServer:
		return power.FairServer(cpu)
	}
	if setting, known := ofPolicy[knob.Kind]; known {
		return power.File(knob.Name, setting)
	}
	return ""
}

// observePower reads what the grants' words are about, of their CPUs, and what has a baseline. What a grant asks for and
// the host does not have is in the observation with the reason.
func observePower(root host.Root, ledger *shield.Ledger, seen shield.Observation) {
	for _, grant := range ledger.Grants {
		for _, cpu := range grant.CPUs.List() {
			for _, kind := range []shield.Kind{shield.WakeLatency, shield.FairServer} {
				if grant.Power.Wish(kind) == "" {
					continue
				}
				knob := shield.Knob{Kind: kind, Name: strconv.Itoa(cpu)}
				observeOfCPU(root, seen, knob, true)
				if _, changed := ledger.Baselines[knob.String()]; kind == shield.FairServer && !changed {
					keepFairServer(root, seen, knob)
				}
			}
			if grant.Power.WantsFrequency() {
				observeFrequency(root, seen, cpu)
			}
		}
	}
	for _, knob := range ledger.Noted(shield.WakeLatency, shield.FairServer) {
		observeOfCPU(root, seen, knob, false)
	}
	for _, knob := range ledger.Noted(shield.Governor, shield.MinFreq, shield.Preference) {
		observePolicy(root, seen, knob.Name)
	}
}

// errForGood is why the fair server of a CPU of isolcpus= is left alone. 6.12 was seen to take another runtime, and to refuse
// the former one, EBUSY, until the next boot.
var errForGood = errors.New("CPUs of isolcpus= may not get theirs back: device or resource busy")

// keepFairServer leaves alone what may be changed for good.
func keepFairServer(root host.Root, seen shield.Observation, knob shield.Knob) {
	state := seen.Values[knob]
	if isolated, err := root.Isolated(); err == nil && !state.Gone && !isolated.Intersection(state.CPUs).IsEmpty() {
		state.Fixed = errForGood.Error()
		seen.Values[knob] = state
	}
}

func observeOfCPU(root host.Root, seen shield.Observation, knob shield.Knob, wished bool) {
	cpu, err := strconv.Atoi(knob.Name)
	if _, done := seen.Values[knob]; done || err != nil {
		return
	}
	state := shield.ValueState{CPUs: cpuset.New(cpu)}
	if state.Now, err = root.Read(powerFile(knob)); err != nil {
		state.Gone, state.Fixed = gone(err), err.Error()
	}
	if knob.Kind == shield.FairServer && !state.Gone {
		period, err := root.Read(power.FairServerPeriod(cpu))
		if state.Period, _ = strconv.ParseInt(period, 10, 64); err != nil {
			state.Fixed = err.Error()
		}
	}
	switch {
	case state.Gone && !wished:
		return
	case state.Gone && knob.Kind == shield.FairServer:
		state.Fixed = power.NoFairServer(root).Error()
	case state.Gone:
		state.Fixed = power.ErrNoLatency.Error()
	}
	seen.Values[knob] = state
}

// observeFrequency reads the policy that a CPU is in. Without one, the knobs stand for files that are not there.
func observeFrequency(root host.Root, seen shield.Observation, cpu int) {
	policy, err := power.Policy(root, cpu)
	if err == nil {
		observePolicy(root, seen, policy)
		return
	}
	for kind := range ofPolicy {
		seen.Values[shield.Knob{Kind: kind, Name: "cpu" + strconv.Itoa(cpu)}] = shield.ValueState{
			CPUs: cpuset.New(cpu), Fixed: err.Error(), Gone: true,
		}
	}
}

// observePolicy reads all settings of a policy: a new governor may change the others.
func observePolicy(root host.Root, seen shield.Observation, policy string) {
	if _, done := seen.Values[shield.Knob{Kind: shield.Governor, Name: policy}]; done {
		return
	}
	cpus, err := power.CPUs(root, policy)
	if gone(err) {
		return
	}
	for kind, setting := range ofPolicy {
		state := shield.ValueState{CPUs: cpus}
		if err != nil {
			state.Fixed = fmt.Sprintf("%s: %v", policy, err)
		} else {
			observeSetting(root, policy, setting, &state)
		}
		seen.Values[shield.Knob{Kind: kind, Name: policy}] = state
	}
}

func observeSetting(root host.Root, policy, setting string, state *shield.ValueState) {
	var err error
	if state.Now, err = root.Read(power.File(policy, setting)); err != nil {
		state.Gone, state.Fixed = gone(err), err.Error()
		if state.Gone {
			state.Fixed = power.ErrNoSetting.Error()
		}
		return
	}
	state.Choices = power.Choices(root, policy, setting)
	if setting == power.MinFreq {
		state.Max = power.MaxFreq(root, policy)
	}
}

// CheckGovernor says which governors a CPU has instead, if one of cpus does not have this one. Without cpufreq there is
// nothing to check.
func CheckGovernor(root host.Root, cpus cpuset.CPUSet, name string) error {
	for _, cpu := range cpus.List() {
		policy, err := power.Policy(root, cpu)
		if err != nil {
			continue
		}
		if choices := power.Choices(root, policy, power.Governor); len(choices) > 0 && !slices.Contains(choices, name) {
			return fmt.Errorf("CPU %d does not have it: choose one of %s, or load its module (cpufreq_%s)", cpu, strings.Join(choices, ", "), name)
		}
	}
	return nil
}
