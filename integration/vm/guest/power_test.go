//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const system = "/sys/devices/system/cpu"

func latency(cpu int) string {
	return fmt.Sprintf("%s/cpu%d/power/pm_qos_resume_latency_us", system, cpu)
}

func policyFile(policy, file string) string { return filepath.Join(system, "cpufreq", policy, file) }

// loadFrequency loads acpi-cpufreq, whose processors integration/vm describes (processors.dsl): CPUs 4 and 6 share a
// policy, as do 0 and 2. To be called before the rig is made, so that the module outlives it.
func loadFrequency(t *testing.T) {
	t.Helper()
	for _, module := range []string{"acpi_cpufreq", "cpufreq_powersave"} {
		if out, err := exec.Command("insmod", "/modules/"+module+".ko").CombinedOutput(); err != nil {
			t.Fatalf("insmod %s: %v: %s", module, err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("rmmod", module).CombinedOutput(); err != nil {
				t.Errorf("rmmod %s: %v: %s", module, err, out)
			}
		})
	}
	if shared := text(t, policyFile("policy4", "related_cpus")); shared != "4 6" {
		t.Fatalf("policy4 has CPUs %q", shared)
	}
}

// adds classes to the rig's policy file.
func (r *rig) classes(tables string) {
	r.Helper()
	file, err := os.OpenFile(r.dir+"/config.toml", os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("\n" + tables)
		file.Close()
	}
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) reads(when, file, want string) {
	r.Helper()
	if now := text(r, file); now != want {
		r.Errorf("%s: %s reads %q, want %q", when, file, now, want)
	}
}

func (r *rig) put(file, value string) {
	r.Helper()
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		r.Fatal(err)
	}
}

func TestTheExitLatencyOfGrantedCPUsIsBounded(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		r.begin("run", "awake", class("fifo"), annotate("cstates", "off"))
		want := map[int]string{r.grant("a").CPUs.List()[0]: "20", r.grant("awake").CPUs.List()[0]: "n/a"}
		for cpu := range 8 {
			if want[cpu] == "" {
				want[cpu] = "0"
			}
			r.reads("two containers", latency(cpu), want[cpu])
		}
		awake := r.grant("awake").CPUs.List()[0]
		before := r.slept(awake)
		time.Sleep(300 * time.Millisecond)
		if now := r.slept(awake); now > before+2 { // what began before
			r.Errorf("CPU %d slept %d times, which cstates off rules out", awake, now-before)
		}
		r.end("a")
		r.reads("one is left", latency(awake), "n/a")
		r.end("awake")
		r.asBefore("after delete")
	})
}

// slept is how often a CPU went into a sleep state, polling apart.
func (r *rig) slept(cpu int) (count int) {
	r.Helper()
	states, _ := filepath.Glob(fmt.Sprintf("%s/cpu%d/cpuidle/state*", system, cpu))
	if len(states) < 2 {
		r.Fatalf("CPU %d has the sleep states %q: this VM should have C1", cpu, states)
	}
	for _, state := range states {
		if text(r, state+"/name") == "POLL" {
			continue
		}
		n, err := strconv.Atoi(text(r, state+"/usage"))
		if err != nil {
			r.Fatal(err)
		}
		count += n
	}
	return count
}

func TestTheFrequencyOfAGrantedCPUIsSet(t *testing.T) {
	loadFrequency(t)
	onRuncAndCrun(t, func(r *rig) {
		r.classes("[class.quick]\npolicy = \"fifo\"\nscaling_min_freq = \"1.5GHz\"\n")
		before := text(r, policyFile("policy5", "scaling_governor"))
		if before == "performance" {
			r.Fatal("the default governor is performance: nothing would be seen")
		}
		r.begin("run", "a", class("quick"), annotate("cpuset", "5"))
		r.reads("running", policyFile("policy5", "scaling_governor"), "performance")
		r.reads("running", policyFile("policy5", "scaling_min_freq"), "1800000") // the driver has 1.2, 1.8 and 2.4 GHz
		for _, policy := range []string{"policy0", "policy1", "policy3", "policy4", "policy7"} {
			r.reads("CPU 5 is granted", policyFile(policy, "scaling_governor"), before)
		}
		limits := fmt.Sprint(r.grant("a").Limits)
		r.contains("limits", limits, "CPU 5 cannot have energy_performance_preference performance", "no such setting")
		for _, word := range []string{"governor performance", "scaling_min_freq 1.5GHz", "cstates 20us"} {
			if strings.Contains(limits, word) {
				r.Errorf("%s was set, and is a limit: %s", word, limits)
			}
		}
		r.put(policyFile("policy5", "scaling_governor"), "powersave")
		r.contains("status", r.must(r.command("status")).out, `scaling_governor is "powersave" and should be "performance"`)
		r.must(r.command("reconcile"))
		r.reads("reconciled", policyFile("policy5", "scaling_governor"), "performance")
		r.end("a")
		r.asBefore("after delete")
	})
}

func TestASharedFrequencyFollowsTheStrongestWish(t *testing.T) {
	shownOn(t, "6.12")
	loadFrequency(t)
	once(t, func(r *rig) {
		governor := policyFile("policy4", "scaling_governor")
		before := text(r, governor)
		begin := func(id, cpu, wish string) {
			r.begin("run", id, class("fifo"), annotate("cpuset", cpu, "governor", wish))
		}

		begin("slow", "4", "powersave")
		r.reads("CPU 6 is nobody's", governor, before) // which must not be slowed down
		begin("fast", "6", "performance")
		r.reads("both", governor, "performance")
		r.contains("limits", fmt.Sprint(r.grant("slow").Limits), "CPU 4 cannot have governor powersave", "CPU 4,6 share it, and performance is the stronger")
		r.end("slow")
		r.reads("the fast one is left", governor, "performance")
		begin("slow", "4", "powersave")
		r.end("fast")
		r.reads("the slow one is left", governor, before)
		begin("other", "6", "powersave")
		r.reads("both slow", governor, "powersave")
		r.end("slow")
		r.end("other")
		r.reads("all gone", governor, before)
		r.asBefore("after delete")
	})
}

func TestAGovernorThatIsNotThereIsRefusedByName(t *testing.T) {
	shownOn(t, "6.12")
	loadFrequency(t)
	onRunc(t, func(r *rig) {
		_, result := r.try("run", "a", r.bundle("a", class("fifo"), annotate("cpuset", "5", "governor", "conservative")))
		if result.code != 1 {
			r.Errorf("not refused: %v", result)
		}
		r.contains("the refusal", result.stderr, `rtshield.io/governor = "conservative"`, "CPU 5", "performance", "schedutil", "powersave", "cpufreq_conservative")
		r.asBefore("after the refusal")
	})
}

func TestTheFairServerOfAGrantedCPUCanBeTurnedOff(t *testing.T) {
	if out, err := exec.Command("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug").CombinedOutput(); err != nil {
		t.Fatalf("mount debugfs: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "/sys/kernel/debug").Run() })
	once(t, func(r *rig) {
		r.classes("[class.alone]\npolicy = \"fifo\"\nfair_server = \"off\"\n")
		r.begin("run", "a", class("alone"), annotate("cpuset", "5"))
		server := "/sys/kernel/debug/sched/fair_server/cpu5/runtime"
		if _, err := os.Stat(server); err != nil {
			r.contains("limits", fmt.Sprint(r.grant("a").Limits), "CPU 5 cannot have fair_server off: this kernel has no fair server (Linux 6.12)")
			r.Skip("the fair server came with Linux 6.12")
		}
		limits := fmt.Sprint(r.grant("a").Limits)
		// Left alone on a CPU of isolcpus=; and 6.12 was seen to refuse, for good, after other real-time bandwidth was in partitions.
		if text(r, server) != "0" || isolated(r) {
			r.contains("limits", limits, "CPU 5 cannot have fair_server off", "device or resource busy")
			r.Log("limit: the kernel does not turn off the fair server of this CPU (EBUSY)")
			return
		}
		r.reads("running, with limits "+limits, server, "0")
		r.reads("running", strings.Replace(server, "cpu5", "cpu0", 1), "50000000")
		r.end("a")
		r.reads("after delete", server, "50000000")
		r.asBefore("after delete")
	})
}

func TestAnOfflineCPUGetsItsPowerBackOnceItIsOnline(t *testing.T) {
	loadFrequency(t)
	once(t, func(r *rig) {
		if !unified() {
			r.Skip("elsewhere: on cgroup v1 the kernel itself takes an offline CPU out of all cpusets, for good")
		}
		governor, online := policyFile("policy7", "scaling_governor"), system+"/cpu7/online"
		before := text(r, governor)
		r.begin("run", "a", class("fifo"), annotate("cpuset", "7"))
		r.reads("running", governor, "performance")
		r.put(online, "0")
		r.Cleanup(func() { _ = os.WriteFile(online, []byte("1"), 0) })
		r.must(r.command("reconcile"))
		r.end("a")
		r.contains("the ledger keeps what cannot be written", text(r, r.ledger), `"governor:policy7":"`+before+`"`)
		r.put(online, "1")
		r.reads("online again", governor, "performance") // the kernel gives a policy back as it was
		r.must(r.command("reconcile"))
		r.reads("reconciled", governor, before)
		r.reads("reconciled", latency(7), "0")
	})
}
