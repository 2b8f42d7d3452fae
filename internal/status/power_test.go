package status

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestWhatPowerAGrantCannotHaveIsOneLimitForEachReason(t *testing.T) {
	driver := filepath.Join(t.TempDir(), "sys/devices/system/cpu/cpuidle/current_driver")
	if err := os.MkdirAll(filepath.Dir(driver), 0o755); err != nil {
		t.Fatal(err)
	}
	root := host.Root(strings.TrimSuffix(driver, "/sys/devices/system/cpu/cpuidle/current_driver"))
	grant := shield.Grant{CPUs: shield.CPUsOf(cpuset.New(4, 5)), Power: shield.BuiltinClasses()["fifo"].Power}
	missing := func(kind shield.Kind, cpu int, name string) shield.Setting {
		return shield.Setting{Knob: shield.Knob{Kind: kind, Name: name}, Want: "performance", Fixed: "no cpufreq", CPUs: cpuset.New(cpu)}
	}
	plan := []shield.Setting{
		missing(shield.Governor, 4, "cpu4"), missing(shield.Governor, 5, "cpu5"), missing(shield.Preference, 4, "cpu4"),
		missing(shield.MinFreq, 4, "cpu4"), // which nobody asks for
		{Knob: shield.Knob{Kind: shield.WakeLatency, Name: "4"}, Now: "9999", Want: "20", CPUs: cpuset.New(4)},
		{Knob: shield.Knob{Kind: shield.WakeLatency, Name: "6"}, Now: "9999", Want: "20", CPUs: cpuset.New(6)},
	}
	for text, want := range map[string][]string{
		"acpi_idle\n": {
			`/sys/devices/system/cpu/cpu4/power/pm_qos_resume_latency_us is "9999" and should be "20": somebody changed it (rtshield reconcile)`,
			"CPU 4-5 cannot have governor performance, energy_performance_preference performance: no cpufreq",
		},
		"none\n": {"cpu4/power", "CPU 4-5 cannot have", "cstates 20us has no effect on CPU 4-5: no cpuidle driver"},
	} {
		if err := os.WriteFile(driver, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		limits := Limits(root, &shield.Ledger{}, plan, grant)
		if len(limits) != len(want) {
			t.Fatalf("driver %q: %q", text, limits)
		}
		for i, words := range want {
			if !strings.Contains(limits[i].String(), words) {
				t.Errorf("driver %q: %q, want %q", text, limits[i], words)
			}
			if changed := strings.Contains(limits[i].Why, Changed); limits[i].Drift != changed || limits[i].Kind == "" {
				t.Errorf("driver %q: drift %v, kind %q: %s", text, limits[i].Drift, limits[i].Kind, limits[i])
			}
		}
	}
	if err := os.WriteFile(driver, []byte("none\n"), 0o644); err != nil { // whichever the loop ended with
		t.Fatal(err)
	}
	if limits := Foreseen(root, plan, grant); len(limits) != 2 {
		t.Errorf("what will be set is foreseen as a limit: %q", limits)
	}
}
