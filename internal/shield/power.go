package shield

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Power says how fast granted CPUs wake up and run. Each word may be Keep, or empty, which is the same.
type Power struct {
	// CStates is "off" (only polling), or the longest exit latency of a sleep state, such as "20us".
	CStates string `json:"cstates,omitempty"`
	// Governor is a name out of scaling_available_governors.
	Governor string `json:"governor,omitempty"`
	// Preference is energy_performance_preference: a name, or 0-255.
	Preference string `json:"energyPerformancePreference,omitempty"`
	// MinFreq is "max", or a frequency such as "2400MHz", "2.4GHz", or in kHz.
	MinFreq string `json:"scalingMinFreq,omitempty"`
	// FairServer is "off": ordinary tasks on the CPU have no bandwidth of their own (Linux 6.12). A grant's may be how much they
	// have, such as "20%".
	FairServer string `json:"fairServer,omitempty"`
}

// Validate checks the words. The error names the option as the policy file does.
func (p Power) Validate() error {
	return cmp.Or(
		checkWord("cstates", p.CStates), checkWord("governor", p.Governor), checkWord("energy_performance_preference", p.Preference),
		checkWord("scaling_min_freq", p.MinFreq), checkWord("fair_server", p.FairServer))
}

func checkWord(option, word string) error {
	rule := map[string]struct {
		valid func(string) bool
		want  string
	}{
		"cstates":  {validCStates, `"keep", "off" (no sleep at all) or the longest exit latency allowed, such as "20us"`},
		"governor": {validName, `"keep" or a name out of scaling_available_governors, such as "performance"`},
		"energy_performance_preference": {validPreference,
			`"keep", a name out of energy_performance_available_preferences, such as "performance", or 0-255`},
		"scaling_min_freq": {validFreq, `"keep", "max" or a frequency such as "2400MHz", "2.4GHz" or "2400000" (kHz)`},
		"fair_server":      {func(word string) bool { return word == "off" }, `"keep" or "off"`},
	}[option]
	if word == Keep || word != "" && rule.valid(word) {
		return nil
	}
	return optionError(option, word, rule.want)
}

func validCStates(word string) bool {
	latency, err := time.ParseDuration(word)
	return word == "off" || err == nil && latency >= time.Microsecond && latency.Microseconds() <= math.MaxInt32
}

// validName: what the kernel takes for the name of a governor has at most 15 characters.
func validName(word string) bool {
	return len(word) < 16 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func validPreference(word string) bool {
	if number, err := strconv.Atoi(word); err == nil {
		return 0 <= number && number <= 255
	}
	// "default" reads back as what it stands for.
	return word != "default" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func validFreq(word string) bool { return word == "max" || kiloHertz(word) > 0 }

// kiloHertz reads "2400MHz", "2.4GHz", "2400000kHz" or "2400000"; 0 for anything else.
func kiloHertz(word string) int {
	unit := 1.0
	for suffix, factor := range map[string]float64{"kHz": 1, "MHz": 1e3, "GHz": 1e6} {
		if number, found := strings.CutSuffix(word, suffix); found {
			word, unit = strings.TrimSpace(number), factor
			break
		}
	}
	number, err := strconv.ParseFloat(word, 64)
	if khz := number * unit; err == nil && khz >= 1 && khz <= math.MaxInt32 {
		return int(math.Round(khz))
	}
	return 0
}

// choosePower takes the words of annotations. They have no ceiling: who has a CPU alone can keep it awake and at full
// speed with a busy loop, and a frequency that others share is never made weaker than it was (planPower).
func choosePower(terms *Terms, request Request) error {
	for _, key := range []string{KeyCStates, KeyGovernor} { // which are the options' names too
		target := map[string]*string{KeyCStates: &terms.Power.CStates, KeyGovernor: &terms.Power.Governor}[key]
		choice, ok := request.Choices[key]
		if !ok {
			continue
		}
		if err := checkWord(key, choice.Value); err != nil {
			return fmt.Errorf("annotation %s: %w", choice.Source, err)
		}
		*target = choice.Value
	}
	return nil
}

// String lists what is not kept, as the policy file has it.
func (p Power) String() string {
	var words []string
	for _, kind := range PowerKinds {
		if wish := p.Wish(kind); wish != "" {
			words = append(words, kind.Option()+" "+wish)
		}
	}
	return strings.Join(words, ", ")
}

// PowerKinds are the kinds of knobs that Power is about.
var PowerKinds = []Kind{WakeLatency, Governor, Preference, MinFreq, FairServer}

// Option is the name that such a kind has in the policy file.
func (k Kind) Option() string {
	return map[Kind]string{
		WakeLatency: "cstates", Governor: "governor", Preference: "energy_performance_preference", MinFreq: "scaling_min_freq",
		FairServer: "fair_server",
	}[k]
}

// Wish gives the word for a kind of knob, "" to keep it.
func (p Power) Wish(kind Kind) string {
	word := map[Kind]string{
		WakeLatency: p.CStates, Governor: p.Governor, Preference: p.Preference, MinFreq: p.MinFreq, FairServer: p.FairServer,
	}[kind]
	if word == Keep {
		return ""
	}
	return word
}

// WantsFrequency says whether any word concerns cpufreq.
func (p Power) WantsFrequency() bool {
	return p.Wish(Governor) != "" || p.Wish(Preference) != "" || p.Wish(MinFreq) != ""
}
