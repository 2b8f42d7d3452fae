package shield

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Percent is a part of one CPU, in thousandths of a percent.
type Percent int64

const (
	one     Percent = 1000
	hundred         = 100 * one
)

// ParsePercent reads "50%", "12.5%", with three digits behind the point at most.
func ParsePercent(text string) (Percent, error) {
	number, signed := strings.CutSuffix(text, "%")
	whole, fraction, _ := strings.Cut(number, ".")
	digits := whole + fraction + "000"[:3-min(3, len(fraction))]
	if !signed || whole == "" || len(whole) > 7 || len(fraction) > 3 || strings.HasSuffix(number, ".") || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a percentage, such as 50%%", text)
	}
	percent, err := strconv.ParseInt(digits, 10, 64)
	return Percent(percent), err
}

// String gives the form that ParsePercent reads.
func (p Percent) String() string {
	text := fmt.Sprintf("%d.%03d", p/one, p%one)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
}

// of gives this part of a time, rounded.
func (p Percent) of(time int64) int64 { return (time*int64(p) + int64(hundred)/2) / int64(hundred) }

// percentOf gives the part of a period that a time is, rounded down.
func percentOf(time, period int64) Percent { return Percent(time * int64(hundred) / period) }

// Share bounds the CPU time of a cgroup's ordinary threads, all in µs: Quota in each Period, and up to Burst more of what was
// left before. The zero value is no bound.
type Share struct {
	Quota  int64 `json:"quota"`
	Period int64 `json:"period"`
	Burst  int64 `json:"burst,omitempty"`
}

// Limited says whether it bounds anything.
func (s Share) Limited() bool { return s.Quota > 0 && s.Period > 0 }

// Percent is the part of one CPU.
func (s Share) Percent() Percent {
	if !s.Limited() {
		return 0
	}
	return percentOf(s.Quota, s.Period)
}

func (s Share) String() string {
	if !s.Limited() {
		return "no bound"
	}
	text := fmt.Sprintf("%s of a CPU (%v in each %v", s.Percent(), micros(s.Quota), micros(s.Period))
	if s.Burst > 0 {
		text += fmt.Sprintf(", and %v more of what was left before", micros(s.Burst))
	}
	return text + ")"
}

func micros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// What the kernel takes (kernel/sched/core.c): quota and period of at least 1 ms, a period of at most 1 s. Without one of the
// container's own it is 100 ms.
const (
	minShare      = 1000
	maxPeriod     = 1000_000
	defaultPeriod = 100_000
)

// bandwidthKeys ask for CPU time and not for a shield.
var bandwidthKeys = []string{KeyCPUBandwidth, KeyCPUPeriod, KeyCPUBurst}

// Share gives the bandwidth that a request asks for, the zero Share where it asks for none. cpus is how many it may run on.
func (r Request) Share(cpus int) (Share, error) {
	choice, ok := r.Choices[KeyCPUBandwidth]
	if !ok {
		for _, key := range bandwidthKeys {
			if alone, ok := r.Choices[key]; ok {
				return Share{}, fmt.Errorf("annotation %s means nothing without %s/%s", alone.Source, Domain, KeyCPUBandwidth)
			}
		}
		return Share{}, nil
	}
	asked, err := ParsePercent(choice.Value)
	if err != nil || asked == 0 {
		return Share{}, wrongValue(choice, "a percentage of one CPU, such as 50% or 150%")
	}
	if r.Quota > 0 {
		return Share{}, fmt.Errorf("annotation %s = %q and linux.resources.cpu.quota = %d µs (docker run --cpus, a pod's CPU limit) both bound the CPU time of container %s: leave one of them out",
			choice.Source, choice.Value, r.Quota, r.Name)
	}
	if most := Percent(cpus) * hundred; asked > most {
		return Share{}, fmt.Errorf("annotation %s = %q: container %s may run on %s: ask for %s or less", choice.Source, choice.Value, r.Name, countCPUs(cpus), most)
	}
	share := Share{Period: defaultPeriod}
	if r.Period > 0 {
		share.Period = r.Period
	}
	if choice, ok := r.Choices[KeyCPUPeriod]; ok {
		period, err := time.ParseDuration(choice.Value)
		if share.Period = period.Microseconds(); err != nil || share.Period < minShare || period > maxPeriod*time.Microsecond {
			return Share{}, wrongValue(choice, "a duration from 1ms to 1s, such as 100ms")
		}
	}
	if share.Quota = asked.of(share.Period); share.Quota < minShare {
		return Share{}, fmt.Errorf("annotation %s = %q is %v of each %v, and the kernel takes no less than 1ms: ask for %s or more%s",
			choice.Source, choice.Value, micros(share.Quota), micros(share.Period), least(share.Period), longer(asked))
	}
	if choice, ok := r.Choices[KeyCPUBurst]; ok {
		burst, err := ParsePercent(choice.Value)
		if err != nil || burst > asked {
			return Share{}, wrongValue(choice, fmt.Sprintf("a percentage of one CPU, at most that of %s, %s", KeyCPUBandwidth, asked))
		}
		share.Burst = burst.of(share.Period)
	}
	return share, nil
}

// least is the smallest part of a period that is 1 ms, in whole percents.
func least(period int64) Percent { return (percentOf(minShare, period) + one - 1) / one * one }

// longer offers the period in which a part is 1 ms, where there is one.
func longer(asked Percent) string {
	if period := (minShare*int64(hundred) + int64(asked) - 1) / int64(asked); period <= maxPeriod {
		return fmt.Sprintf(", or for %s/%s of %v", Domain, KeyCPUPeriod, micros(period))
	}
	return ""
}

func wrongValue(choice Choice, want string) error {
	return fmt.Errorf("annotation %s = %q: expected %s", choice.Source, choice.Value, want)
}
