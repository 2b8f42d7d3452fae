package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

const cpuDir = "sys/devices/system/cpu/"

// powerHost has CPUs 4 and 5, each with a cpufreq policy of its own as intel_pstate makes them.
func powerHost(t *testing.T) host.Root {
	t.Helper()
	dir := t.TempDir()
	for _, cpu := range []string{"4", "5"} {
		policy := cpuDir + "cpufreq/policy" + cpu + "/"
		for name, text := range map[string]string{
			cpuDir + "cpu" + cpu + "/power/pm_qos_resume_latency_us": "0",
			policy + "affected_cpus":                                 cpu, policy + "scaling_governor": "powersave",
			policy + "scaling_available_governors":              "performance powersave ",
			policy + "energy_performance_preference":            "balance_performance",
			policy + "energy_performance_available_preferences": "default performance balance_performance balance_power power ",
			policy + "scaling_min_freq":                         "800000", policy + "scaling_max_freq": "3600000",
		} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../cpufreq/policy"+cpu, filepath.Join(dir, cpuDir, "cpu"+cpu, "cpufreq")); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(dir)
}

func powerRun(t *testing.T, root host.Root, ledger *shield.Ledger) (Report, shield.Observation) {
	t.Helper()
	seen := emptyObservation()
	observePower(root, ledger, seen)
	forgetGone(ledger, seen)
	settings := shield.Plan(ledger, seen)
	record(root, ledger, settings)
	var report Report
	apply(root, &shield.Session{Ledger: ledger}, settings, &report)
	return report, seen
}

func of(cpu int, power shield.Power) shield.Grant {
	return shield.Grant{Key: shield.Key{ID: "c"}, Bound: true, CPUs: shield.CPUsOf(cpuset.New(cpu)), Power: power}
}

func TestPowerIsSetForGrantedCPUsAloneAndGoesBack(t *testing.T) {
	root := powerHost(t)
	ledger := &shield.Ledger{}
	ledger.Add(of(4, shield.BuiltinClasses()["fifo"].Power))
	report, seen := powerRun(t, root, ledger)
	for knob := range seen.Values {
		if !strings.HasSuffix(knob.Name, "4") {
			t.Errorf("%s was read for a grant of CPU 4", knob)
		}
	}
	want := map[string]string{
		"cpu4/power/pm_qos_resume_latency_us": "20", "cpufreq/policy4/scaling_governor": "performance",
		"cpufreq/policy4/energy_performance_preference": "performance", "cpufreq/policy4/scaling_min_freq": "800000",
	}
	check := func(when string) {
		t.Helper()
		for file, value := range want {
			if now, err := root.Read(cpuDir, file); err != nil || now != value {
				t.Errorf("%s: %s reads %q %v, want %q", when, file, now, err, value)
			}
		}
	}
	check("granted")
	var order []string
	for _, change := range report.Changed {
		order = append(order, string(change.Kind))
	}
	if !slices.Equal(order, []string{"governor", "preference", "wake-latency"}) || len(report.Refused) > 0 {
		t.Errorf("written in the order %q, refused %+v", order, report.Refused)
	}
	if report, _ := powerRun(t, root, ledger); len(report.Changed) > 0 {
		t.Errorf("written again: %+v", report.Changed)
	}
	ledger.Release(shield.Key{ID: "c"})
	powerRun(t, root, ledger)
	want = map[string]string{
		"cpu4/power/pm_qos_resume_latency_us": "0", "cpufreq/policy4/scaling_governor": "powersave",
		"cpufreq/policy4/energy_performance_preference": "balance_performance",
	}
	check("released")
	if len(ledger.Baselines) > 0 {
		t.Errorf("still remembered: %v", ledger.Baselines)
	}
}

func TestAFileThatCameBackFreshIsSetAgainAndOneThatIsGoneForgotten(t *testing.T) {
	root := powerHost(t)
	latency := root.Path(cpuDir, "cpu4/power/pm_qos_resume_latency_us")
	ledger := &shield.Ledger{}
	ledger.Add(of(4, shield.Power{CStates: "off"}))
	powerRun(t, root, ledger)
	if err := os.Remove(latency); err != nil {
		t.Fatal(err)
	}
	report, _ := powerRun(t, root, ledger)
	if len(ledger.Baselines) > 0 || len(report.Refused) != 1 || report.Refused[0].Fixed == "" {
		t.Errorf("remembered %v, refused %+v", ledger.Baselines, report.Refused)
	}
	if err := os.WriteFile(latency, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	powerRun(t, root, ledger)
	if now, _ := root.Read(cpuDir, "cpu4/power/pm_qos_resume_latency_us"); now != "n/a" || ledger.Baselines["wake-latency:4"] != "0" {
		t.Errorf("it reads %q, remembered %v", now, ledger.Baselines)
	}
}

func TestAHostWithoutCpufreqIsReadNoFurther(t *testing.T) {
	root := host.Root(t.TempDir())
	ledger := &shield.Ledger{}
	ledger.Add(of(4, shield.BuiltinClasses()["fifo"].Power))
	report, _ := powerRun(t, root, ledger)
	why := map[string]bool{}
	for _, refused := range report.Refused {
		why[refused.Fixed] = true
	}
	if len(report.Refused) != 3 || len(why) != 2 || len(ledger.Baselines)+len(ledger.Unmovable) > 0 {
		t.Errorf("refused %+v, remembered %v %v", report.Refused, ledger.Baselines, ledger.Unmovable)
	}
	if err := CheckGovernor(root, cpuset.New(4), "ondemand"); err != nil {
		t.Error(err)
	}
	err := CheckGovernor(powerHost(t), cpuset.New(4), "ondemand")
	if err == nil || !strings.Contains(err.Error(), "CPU 4 does not have it: choose one of performance, powersave") {
		t.Error(err)
	}
}
