// Package power finds the files that say how fast a CPU wakes up and runs: the bound on the exit latency of its sleep
// states (Documentation/ABI/testing/sysfs-devices-power), its cpufreq policy (admin-guide/pm/cpufreq.rst), and the
// bandwidth that its fair server keeps for ordinary tasks (Linux 6.12, debugfs).
package power

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

const (
	cpus  = "/sys/devices/system/cpu"
	sched = "/sys/kernel/debug/sched"
)

// Why a host lacks one of the files.
var (
	ErrNoLatency    = errors.New("this kernel bounds no CPU's exit latency (CONFIG_PM)")
	ErrNoCpufreq    = errors.New("no cpufreq driver: the hypervisor or the firmware sets the frequency")
	ErrNoSetting    = errors.New("the cpufreq driver has no such setting")
	ErrNoDebugfs    = errors.New("debugfs is not mounted (mount -t debugfs debugfs /sys/kernel/debug)")
	ErrNoFairServer = errors.New("this kernel has no fair server (Linux 6.12)")
	ErrOffline      = errors.New("its CPUs are offline")
	// ErrGoverned: drivers that leave the frequency to the processor fix the preference under governor performance.
	ErrGoverned = errors.New("governor performance allows no other")
)

// Latency is the file that bounds the exit latency of a CPU's sleep states.
func Latency(cpu int) string {
	return filepath.Join(cpus, "cpu"+strconv.Itoa(cpu), "power/pm_qos_resume_latency_us")
}

// IdleDriver is the driver of the sleep states, "none" where there is none: then the bound has no effect.
func IdleDriver(root host.Root) string {
	driver, err := root.Read(cpus, "cpuidle/current_driver")
	if err != nil || driver == "" {
		return "none"
	}
	return driver
}

// FairServer is the file of a CPU's fair server with its runtime.
func FairServer(cpu int) string {
	return filepath.Join(sched, "fair_server/cpu"+strconv.Itoa(cpu), "runtime")
}

// FairServerPeriod is the file with its period. Both are in ns.
func FairServerPeriod(cpu int) string { return filepath.Join(filepath.Dir(FairServer(cpu)), "period") }

// NoFairServer says why the files are not there.
func NoFairServer(root host.Root) error {
	if _, err := os.Stat(root.Path(sched)); err != nil {
		return ErrNoDebugfs
	}
	return ErrNoFairServer
}

// Policy is the name of the cpufreq policy that a CPU is in. ErrNoCpufreq without one.
func Policy(root host.Root, cpu int) (string, error) {
	link, err := os.Readlink(root.Path(cpus, "cpu"+strconv.Itoa(cpu), "cpufreq"))
	if err != nil {
		return "", ErrNoCpufreq
	}
	return filepath.Base(link), nil
}

// The settings of a policy.
const (
	Governor   = "scaling_governor"
	MinFreq    = "scaling_min_freq"
	Preference = "energy_performance_preference"
)

// File is the file of one of a policy's settings.
func File(policy, setting string) string { return filepath.Join(cpus, "cpufreq", policy, setting) }

// CPUs are those online that have the policy. ErrOffline if none is: then it can be neither read nor written, and keeps
// what it had (EBUSY, seen on 6.1, 6.12 and 7.2).
func CPUs(root host.Root, policy string) (cpuset.CPUSet, error) {
	text, err := root.Read(File(policy, "affected_cpus"))
	if errors.Is(err, unix.EBUSY) {
		return cpuset.New(), ErrOffline
	}
	if err != nil {
		return cpuset.New(), err
	}
	return cpuset.Parse(strings.Join(strings.Fields(text), ","))
}

// Choices are the values that a policy says a setting may have, none where it does not say.
func Choices(root host.Root, policy, setting string) []string {
	text, err := root.Read(File(policy, map[string]string{
		Governor: "scaling_available_governors", MinFreq: "scaling_available_frequencies",
		Preference: "energy_performance_available_preferences",
	}[setting]))
	if err != nil {
		return nil
	}
	return strings.Fields(text)
}

// MaxFreq is the highest frequency that the policy may have, in kHz; 0 if it does not say.
func MaxFreq(root host.Root, policy string) int {
	text, _ := root.Read(File(policy, "scaling_max_freq"))
	khz, _ := strconv.Atoi(text)
	return khz
}

// Write sets one of the files above.
func Write(root host.Root, file, value string) error {
	err := root.Write(value, file)
	if errors.Is(err, unix.EBUSY) && filepath.Base(file) == Preference {
		return ErrGoverned
	}
	return err
}

// State is one that a CPU sleeps in.
type State struct {
	Name string
	// Latency is what the driver says it takes to leave it, in µs.
	Latency int
	// Disabled for all of the kernel's governors.
	Disabled bool
}

// States lists those of a CPU, the lightest first; none without a driver.
func States(root host.Root, cpu int) (states []State) {
	for number := 0; ; number++ {
		dir := filepath.Join(cpus, "cpu"+strconv.Itoa(cpu), "cpuidle/state"+strconv.Itoa(number))
		name, err := root.Read(dir, "name")
		if err != nil {
			return states
		}
		latency, _ := root.Read(dir, "latency")
		micros, _ := strconv.Atoi(latency)
		disabled, _ := root.Read(dir, "disable")
		states = append(states, State{name, micros, disabled != "" && disabled != "0"})
	}
}
