package runc_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

const (
	latency     = "/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us"
	houseKeeps  = "/sys/devices/system/cpu/cpu0/power/pm_qos_resume_latency_us"
	idleDriver  = "/sys/devices/system/cpu/cpuidle/current_driver"
	sleepStates = "/sys/devices/system/cpu/cpu1/cpuidle/state*"
)

const powerClasses = `
[class.awake]
policy = "fifo"
cstates = "off"
governor = "keep"
energy_performance_preference = "keep"
[class.lazy]
policy = "fifo"
cstates = "keep"
governor = "keep"
energy_performance_preference = "keep"
[class.whole]
policy = "fifo"
fair_server = "off"
scaling_min_freq = "max"
`

func TestTheExitLatencyOfAGrantedCPUIsBoundedWhileItIsGranted(t *testing.T) {
	for _, c := range []struct {
		name, before string
		edits        []rig.Edit
		want         string
	}{
		{"the class's own", "0", with("fifo"), "20"},
		{"no sleep", "0", with("awake"), "n/a"},
		{"an annotation in the class's place", "0", with("awake", "cstates", "1ms"), "1000"},
		{"kept by an annotation", "0", with("fifo", "cstates", "keep"), "0"},
		{"kept by the class", "7", with("lazy"), "7"},
		{"a class without real time", "0", with("batch"), "0"},
		{"a stricter bound stays", "5", with("fifo"), "5"},
		{"a weaker bound gives way", "500", with("fifo"), "20"},
		{"no sleep was asked for by hand", "n/a", with("fifo"), "n/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: powerClasses})
			r.Cleanup(func() { put(r, latency, "0") })
			put(r, latency, c.before)
			r.Detach("c", r.Bundle("c", c.edits...))
			if now := r.Text(latency); now != c.want {
				r.Errorf("%s reads %q, want %q", latency, now, c.want)
			}
			if now := r.Text(houseKeeps); now != "0" {
				r.Errorf("CPU 0, which nobody was granted, has %q", now)
			}
			if c.want != c.before { // somebody else's write is seen, and undone
				put(r, latency, "333")
				has(r, "status", r.Must(r.Shield("status")).Stdout, latency, `"333"`, "rtshield reconcile")
				has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, latency+": 333 → "+c.want)
			}
			r.End("c")
			if now := r.Text(latency); now != c.before {
				r.Errorf("after delete %s reads %q, was %q", latency, now, c.before)
			}
		})
	}
}

func TestACPUWithoutSleepOnlyPolls(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	if driver := r.Text(idleDriver); driver == "none" {
		r.Skip("this host has no cpuidle driver: the kernel has nothing to choose from")
	}
	r.Detach("c", r.Bundle("c", with("fifo", "cstates", "off")...))
	before := sleeps(r)
	time.Sleep(300 * time.Millisecond)
	if now := sleeps(r); now > before+2 { // what began before
		r.Errorf("CPU 1 slept %d times in 0.3 s", now-before)
	}
	r.End("c")
	before = sleeps(r)
	r.Eventual(func() error {
		if sleeps(r) == before {
			return errNoSleep
		}
		return nil
	})
	r.AsBefore("after delete")
}

type constError string

func (e constError) Error() string { return string(e) }

const errNoSleep = constError("CPU 1 does not sleep again")

// sleeps is how often CPU 1 went into a sleep state, polling apart.
func sleeps(r *rig.Rig) (count int) {
	r.Helper()
	states, _ := filepath.Glob(sleepStates)
	for _, state := range states {
		if r.Text(state+"/name") == "POLL" {
			continue
		}
		n, err := strconv.Atoi(r.Text(state + "/usage"))
		if err != nil {
			r.Fatal(err)
		}
		count += n
	}
	return count
}

func TestWhatAHostHasNotOfPowerIsALimitWithItsCause(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: powerClasses})
	if exists("/sys/devices/system/cpu/cpu1/cpufreq") || exists("/sys/kernel/debug/sched") {
		r.Skip("this host has more: integration/vm tries it")
	}
	bundle := r.Bundle("c", with("whole", "governor", "ondemand")...)
	limits := []string{
		"CPU 1 cannot have governor ondemand, scaling_min_freq max, energy_performance_preference performance: no cpufreq driver",
		"CPU 1 cannot have fair_server off: debugfs is not mounted",
	}
	explained := r.Must(r.Shield("explain", "--bundle", bundle)).Stdout
	has(r, "explain", explained, append(limits, latency+": 0 → 20",
		"power: cstates 20us, governor ondemand, energy_performance_preference performance, scaling_min_freq max, fair_server off")...)
	r.Detach("c", bundle)
	has(r, "status", r.Must(r.Shield("status")).Stdout, limits...)
	if text := r.Must(r.Shield("reconcile")).Stdout; !strings.Contains(text, "nothing to do") {
		r.Errorf("what cannot be had is tried again: %s", text)
	}
	r.End("c")
	r.AsBefore("after delete")
}
