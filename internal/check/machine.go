package check

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/shield"
)

// sleepStates: how long a CPU of the pool takes to wake, and whether that is bounded.
func sleepStates(v *view) []Finding {
	if v.refused != nil {
		return nil
	}
	cpu := v.layout.Pool.List()[0]
	driver := power.IdleDriver(v.Root)
	f := Finding{Name: "sleep states", Mark: Good, Looked: []string{"/sys/devices/system/cpu/cpuidle/current_driver", power.Latency(cpu)}}
	deepest := power.State{}
	for _, state := range power.States(v.Root, cpu) {
		if !state.Disabled && state.Latency > deepest.Latency {
			deepest = state
		}
	}
	_, virtual := platform.Hypervisor(v.Root)
	_, err := v.Root.Read(power.Latency(cpu))
	bound := v.class.Power.Wish(shield.WakeLatency)
	option := fmt.Sprintf("[class.%s] cstates = ", v.class.Name)
	virtual = virtual && driver != "intel_idle" // which only sees what the hypervisor lets it do itself
	polls, _ := platform.Option(v.Root, "idle")
	switch {
	case polls == "poll":
		f.Found = "none: a CPU with nothing to do polls (idle=poll)"
	case driver == "none" || virtual:
		f.Mark, f.Found = Limit, "driver "+driver+": a CPU that has nothing to do is given to the hypervisor"
		f.Why = "how long it takes to come back is the hypervisor's affair"
		if !virtual {
			f.Found, f.Why = "no driver: there is one way to idle", "how deep that is, the processor decides; nothing bounds it"
		}
		if driver == "haltpoll" {
			f.Do = []string{option + `"off" polls instead, at the cost of a busy CPU`}
		}
	case errors.Is(err, fs.ErrNotExist):
		f.Mark, f.Found, f.Why = Limit, power.ErrNoLatency.Error(), "option cstates has no effect"
	case bound == "":
		f.Mark, f.Found = Limit, fmt.Sprintf("%s may sleep in %s; class %s does not bound that", cpuText(v.layout.Pool), deepest.Name, v.class.Name)
		f.Why, f.Do = "it takes that time to wake up before it does anything", []string{option + `"20us"`}
	default:
		f.Found = fmt.Sprintf("the deepest is %s, of %d µs; class %s bounds it (cstates %s)", deepest.Name, deepest.Latency, v.class.Name, bound)
	}
	if deepest.Latency > 0 && !virtual {
		f.Micros = &Micros{float64(deepest.Latency), "to wake up from " + deepest.Name, "cpuidle driver " + driver}
	}
	return one(f)
}

// frequency: what a container of the class cannot have of its wishes, as status would say.
func frequency(v *view) []Finding {
	if v.refused != nil {
		return nil
	}
	cpu := v.layout.Pool.List()[0]
	f := Finding{Name: "frequency", Mark: Good, Looked: []string{fmt.Sprintf("/sys/devices/system/cpu/cpu%d/cpufreq", cpu)}}
	policy, err := power.Policy(v.Root, cpu)
	if err != nil {
		f.Mark, f.Found, f.Why = Limit, err.Error(), "nothing here says how fast the CPU runs, or sets it"
		if _, virtual := platform.Hypervisor(v.Root); virtual {
			f.Do = []string{"on the hypervisor's host: governor performance for the CPUs of this machine"}
		}
		return one(f)
	}
	now, err := v.Root.Read(power.File(policy, power.Governor))
	if err != nil {
		return unread(f.Name, f.Looked, err)
	}
	var missing []string
	for _, limit := range v.limitsOf(shield.Governor, shield.MinFreq, shield.Preference) {
		missing = append(missing, limit.What+": "+limit.Why)
	}
	switch wish := v.class.Power.Wish(shield.Governor); {
	case len(missing) > 0:
		f.Mark, f.Found, f.Why = Limit, strings.Join(missing, "; "), "a CPU at a low frequency takes longer for everything"
		f.Do = []string{"choose what it has: rtshield explain shows the choices, docs/power.md the options"}
	case wish == "" && now != "performance":
		f.Mark, f.Found = Limit, fmt.Sprintf("governor %s, and class %s leaves it", now, v.class.Name)
		f.Why = "a CPU at a low frequency takes longer for everything"
		f.Do = []string{fmt.Sprintf("[class.%s] governor = \"performance\"", v.class.Name)}
	case wish == "":
		f.Found = "governor " + now
	default:
		f.Found = fmt.Sprintf("governor %s; %s while a container of class %s has the CPU", now, wish, v.class.Name)
	}
	return one(f)
}

// steady are the clocks that are read without leaving the program, and keep their pace.
var steady = []string{"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", "timebase", "tod", "riscv_clocksource", "stick", "tick"}

func clock(v *view) []Finding {
	f := Finding{Name: "clocksource", Mark: Good, Looked: []string{platform.ClockFile}}
	now, available, err := platform.Clocks(v.Root)
	if err != nil {
		return unread(f.Name, f.Looked, err)
	}
	f.Found = now
	if v.Root == host.System {
		cost := clockCost()
		f.Micros = &Micros{float64(cost.Nanoseconds()) / 1000, "to ask for the time", "measured now"}
	}
	if slices.Contains(steady, now) {
		return one(f)
	}
	f.Mark = Limit
	f.Why = "asking for the time takes a system call and a slow device; the tick cannot stop"
	if slices.Contains(available, "tsc") {
		f.Fix = "echo tsc >" + platform.ClockFile
		f.fix = func(root host.Root) error { return root.Write("tsc", platform.ClockFile) }
		f.Do = []string{f.Fix}
		return one(f)
	}
	f.Do = []string{"dmesg | grep -i -e tsc -e clocksource says why it is no better one; where the firmware is wrong about that, boot with tsc=reliable"}
	return one(f)
}

// clockCost is what clock_gettime(2) takes, by the median of some rounds: others use this CPU too.
func clockCost() time.Duration {
	const rounds, calls = 9, 200
	var took [rounds]time.Duration
	for i := range took {
		begun := time.Now()
		for range calls {
			_ = time.Now()
		}
		took[i] = time.Since(begun) / calls
	}
	slices.Sort(took[:])
	return took[rounds/2]
}

func hypervisor(v *view) []Finding {
	f := Finding{Name: "hypervisor", Mark: Good, Looked: []string{"/proc/cpuinfo", "/sys/class/dmi/id", "/proc/stat"}}
	name, virtual := platform.Hypervisor(v.Root)
	if !virtual {
		f.Found = "none that shows itself"
		return one(f)
	}
	f.Mark, f.Found = Limit, "this is a virtual machine"
	if name != "" {
		f.Found += " (" + name + ")"
	}
	f.Why = "a CPU of it is a thread of the hypervisor's host: when that runs something else, nothing here runs, whatever its policy"
	f.Do = []string{"on the hypervisor's host: a CPU of its own for each of this machine's, and real-time policy for it (libvirt: vcpupin, vcpusched)"}
	if stolen, seconds, err := steal(v.Root); err == nil && seconds > 0 {
		f.Micros = &Micros{float64(stolen.Microseconds()) / seconds, "taken of each CPU each second, on average since boot", "steal in /proc/stat"}
	}
	return one(f)
}

// steal is what the hypervisor took of a CPU, on average, in the time since boot.
func steal(root host.Root) (stolen time.Duration, seconds float64, err error) {
	online, err := root.Online()
	if err != nil {
		return 0, 0, err
	}
	counted, err := interference.Read(root, online)
	if err != nil || len(counted) == 0 {
		return 0, 0, errors.Join(err, fs.ErrNotExist)
	}
	text, err := root.Read("proc/uptime")
	first, _, _ := strings.Cut(text, " ")
	seconds, errNumber := strconv.ParseFloat(first, 64)
	for _, counters := range counted {
		stolen += time.Duration(counters.Steal) * 10 * time.Millisecond / time.Duration(len(counted))
	}
	return stolen, seconds, errors.Join(err, errNumber)
}

// smis: firmware that takes CPUs away without the kernel's knowledge. What it takes only measuring tells.
func smis(v *view) []Finding {
	if _, virtual := platform.Hypervisor(v.Root); virtual || v.refused != nil {
		return nil // those of the machine below are part of what the hypervisor takes
	}
	cpu := v.layout.Pool.List()[0]
	f := Finding{Name: "firmware", Mark: Limit, Looked: []string{platform.MSRs(cpu)}}
	f.Why = "a system management interrupt stops all CPUs, and nothing in the kernel can prevent it"
	f.Do = []string{v.distro.install(v.distro.rtTests()) + " && hwlatdetect --duration=60 --threshold=10 measures what it takes"}
	count, err := platform.SMIs(v.Root, cpu)
	switch {
	case err == nil && count == 0:
		f.Mark, f.Found, f.Why, f.Do = Good, fmt.Sprintf("no system management interrupt since CPU %d was reset", cpu), "", nil
	case err == nil:
		f.Found = fmt.Sprintf("%d system management interrupts since CPU %d was reset", count, cpu)
		f.Do = append(f.Do, "turn off in the firmware's setup what brings them (USB legacy support, power capping, ECC polling)")
	case errors.Is(err, fs.ErrNotExist):
		f.Found = "they cannot be counted: module msr is not loaded"
		f.Do = append([]string{"modprobe msr"}, f.Do...)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EPERM):
		f.Found = "they cannot be counted: " + err.Error()
	default:
		f.Found = "they cannot be counted: " + platform.ErrNoSMIs.Error()
	}
	return one(f)
}
