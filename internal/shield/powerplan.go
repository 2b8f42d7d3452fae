package shield

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/cpuset"
)

// ValueState is a knob that holds a word or a number.
type ValueState struct {
	// Now is the value as the kernel prints it.
	Now string
	// CPUs are those that it governs.
	CPUs cpuset.CPUSet
	// Choices are the words that the kernel takes, or the frequencies that it has, in kHz. Empty where it does not say.
	Choices []string
	// Max is the highest frequency that the policy may have, in kHz. Zero where that is no question.
	Max int
	// Period is that of a fair server, in ns.
	Period int64
	// Fixed says why it cannot be set, Gone that it does not exist.
	Fixed string
	Gone  bool
}

// planPower gives each setting the strongest of the wishes of the grants whose CPUs it governs: several CPUs may share
// one frequency. Bounds are held to the baseline as well, and so is a setting that governs CPUs of others too.
func planPower(ledger *Ledger, seen Observation) []Setting {
	var settings []Setting
	for knob, state := range seen.Values {
		setting, asked := powerSetting(ledger, knob, state)
		_, known := ledger.Baselines[knob.String()]
		if knob.Kind == MinFreq || knob.Kind == Preference {
			governor := Knob{Governor, knob.Name}
			first, changed := powerSetting(ledger, governor, seen.Values[governor])
			setting.Follows = changed && first.Fixed == "" && first.Want != first.Baseline && !state.Gone
			if setting.Follows && !asked {
				setting.Want = setting.Now
			}
		}
		if asked || known || setting.Follows {
			settings = append(settings, setting)
		}
	}
	return settings
}

// powerSetting is one knob's place in the plan, and whether any grant asks for it.
func powerSetting(ledger *Ledger, knob Knob, state ValueState) (setting Setting, asked bool) {
	baseline, known := ledger.Baselines[knob.String()]
	if !known {
		baseline = state.Now
	}
	setting = Setting{Knob: knob, Baseline: baseline, Now: state.Now, Want: baseline, Fixed: state.Fixed, CPUs: state.CPUs}
	holders := cpuset.New()
	var wanted, refused []string
	for _, grant := range ledger.Grants {
		wish := grant.Power.Wish(knob.Kind)
		if wish == "" || grant.CPUs.Intersection(state.CPUs).IsEmpty() {
			continue
		}
		holders = holders.Union(grant.Held().CPUSet)
		if value := state.value(knob.Kind, wish); state.takes(knob.Kind, value) {
			wanted = append(wanted, value)
		} else {
			refused = append(refused, value)
		}
	}
	switch {
	case len(wanted) > 0:
		if knob.Kind.bound() || !state.CPUs.IsSubsetOf(holders) {
			wanted = append(wanted, baseline)
		}
		setting.Want = slices.MaxFunc(wanted, func(a, b string) int { return strength(knob.Kind, a) - strength(knob.Kind, b) })
	case len(refused) > 0:
		setting.Want = refused[0]
		if setting.Fixed == "" {
			setting.Fixed = fmt.Sprintf("the driver has only %s", strings.Join(state.Choices, ", "))
		}
	}
	return setting, len(wanted)+len(refused) > 0
}

// Misses says why a power setting is not what a grant asks for although it is what the plan wants; "" if it is.
func (s Setting) Misses(power Power) string {
	wish := power.Wish(s.Kind)
	value := ValueState{}.value(s.Kind, wish)
	switch {
	case wish == "":
	case s.Kind == MinFreq && kiloHertz(wish) > kiloHertz(s.Now):
		return s.Now + " kHz is the highest that it may have"
	case s.Kind.bound() || s.Kind == FairServer || s.Now == value:
	case strength(s.Kind, s.Now) > strength(s.Kind, value):
		return fmt.Sprintf("CPU %s share it, and %s is the stronger", s.CPUs, s.Now)
	default:
		return "the driver does not have it"
	}
	return ""
}

// bound: any stronger value is as good.
func (k Kind) bound() bool { return k == WakeLatency || k == MinFreq }

// takes says whether the kernel has such a word.
func (s ValueState) takes(kind Kind, value string) bool {
	if kind != Governor && kind != Preference || len(s.Choices) == 0 {
		return true
	}
	_, err := strconv.Atoi(value) // a preference
	return err == nil || slices.Contains(s.Choices, value)
}

// value puts a word into the kernel's terms.
func (s ValueState) value(kind Kind, word string) string {
	switch kind {
	case WakeLatency:
		if latency, err := time.ParseDuration(word); err == nil {
			return strconv.FormatInt(latency.Microseconds(), 10)
		}
		return noSleep
	case FairServer:
		keeps, _ := ParsePercent(word) // none if it is off
		return strconv.FormatInt(keeps.of(s.Period), 10)
	case Preference:
		switch word { // the two numbers that read back as the same name on all processors
		case "0":
			return "performance"
		case "255":
			return "power"
		}
	case MinFreq:
		return strconv.Itoa(s.frequency(word))
	}
	return word
}

// frequency is the lowest that the driver has and that is not below the word's: the kernel would choose it too, and
// read it back.
func (s ValueState) frequency(word string) int {
	khz := kiloHertz(word)
	if word == "max" || s.Max > 0 && khz > s.Max {
		return s.Max
	}
	best := 0
	for _, choice := range s.Choices {
		if has, err := strconv.Atoi(choice); err == nil && has >= khz && (best == 0 || has < best) {
			best = has
		}
	}
	return max(best, khz)
}

// noSleep is how the kernel writes an exit latency of nothing at all; its 0 stands for no bound.
const noSleep = "n/a"

// Governors in the order of their strength. Of those between the outermost, which all follow the load, the faster to
// rise is the stronger.
var governors = []string{"powersave", "conservative", "ondemand", "schedutil", "userspace", "performance"}

// preferences with what they stand for on Intel; others differ in the middle, but not in the order.
var preferences = map[string]int{"performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255}

// strength says which of two values of a kind wakes up or runs the faster.
func strength(kind Kind, value string) int {
	number, err := strconv.Atoi(value)
	switch kind {
	case WakeLatency:
		if value == noSleep {
			return 0
		}
		if err != nil || number == 0 {
			return -math.MaxInt32
		}
		return -number
	case FairServer:
		return -number
	case Governor:
		return slices.Index(governors, value)
	case Preference:
		if known, ok := preferences[value]; ok {
			return -known
		} else if err != nil {
			return -256
		}
		return -number
	}
	return number
}
