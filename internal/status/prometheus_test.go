package status

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/shield"
)

func ptr(n uint64) *uint64 { return &n }

// busy is a status with all that can be in one.
func busy() *Status {
	set := func(cpus ...int) shield.CPUs { return shield.CPUsOf(cpuset.New(cpus...)) }
	web := Grant{
		ID: "w", Root: "/run/runc", Name: "web", Class: "fifo", CPUs: set(2, 3), Policy: "fifo 50", Level: "cpuset", State: "bound", Created: "2026-11-22T14:00:00Z",
		Pod: &shield.Pod{ID: "1", Name: "default/a"}, Limits: []shield.Limit{{What: "a"}, {What: "b", Drift: true}, {What: "c"}},
		Interference: &interference.Delta{Seconds: 41, ForeignNS: ptr(2_500_000), ForeignTurnsAtMost: ptr(9), CPUs: []interference.CPU{
			{CPU: 2, Ticks: 12, Reschedule: 1, Call: 2, TLB: 2, StealMS: 20, Softirqs: map[string]uint64{"RCU": 2, "TIMER": 3}, Other: map[string]uint64{"NMI": 1},
				Devices: []interference.Device{{IRQ: 36, Name: "disk", Count: 7}, {IRQ: 37, Name: "net", Count: 6}}},
			{CPU: 3, Offline: true},
		}},
	}
	other := web
	other.Root, other.Interference, other.State = "/run/other", nil, "stale"
	odd := Grant{ID: "o", Name: "a\"b\\c\nd\xff", Created: "?", State: "starting"}
	half := Bandwidth{ID: "h", Root: "/run/runc", Name: "half", Share: shield.Share{Quota: 50_000, Period: 100_000},
		Life: bandwidth.Usage{Periods: 10, Throttled: 4, ThrottledSeconds: 0.25}}
	return &Status{
		CPUs:   []CPU{{CPU: 0, Use: Housekeeping}, {CPU: 1, Use: Free}, {CPU: 2, Use: Granted}, {CPU: 3, Use: Granted}},
		Grants: []Grant{web, other, odd}, Bandwidth: []Bandwidth{half, half}, Lost: []string{"/a"},
		Promises: &Promises{Host: 1, Containers: []Kept{{Root: "/run/runc", ID: "w", Name: "web", Marks: map[string]int{"holds": 9, "broken": 2, "cannot": 1}}}},
	}
}

func exposed(t *testing.T, s *Status) (text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	var out strings.Builder
	if err := s.Prometheus(&out, "1.2"); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation) // what the textfile collector reads with
	families, err := parser.TextToMetricFamilies(strings.NewReader(out.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	return out.String(), families
}

func TestPrometheusParsesWhatStatusWrites(t *testing.T) {
	text, families := exposed(t, busy())
	problems, err := promlint.New(strings.NewReader(text)).Lint() // as promtool check metrics
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	got := map[string]float64{}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, pair := range m.GetLabel() {
				if pair.GetName() != "root" {
					labels = append(labels, pair.GetValue())
				} else if pair.GetValue() == "/run/other" {
					labels = append(labels, "other")
				}
			}
			got[name+" "+strings.Join(labels, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for series, want := range map[string]float64{
		"rtshield_build_info 1.2": 1, "rtshield_lost_containers ": 1,
		"rtshield_cpus granted": 2, "rtshield_cpus free": 1, "rtshield_cpus housekeeping": 1, "rtshield_cpus idle": 0, "rtshield_cpus offline": 0,
		"rtshield_containers bound": 1, "rtshield_containers stale": 1, "rtshield_containers starting": 1,
		"rtshield_container_info w web fifo fifo 50 cpuset 2-3 default/a": 1, "rtshield_container_cpus w web": 2,
		"rtshield_container_created_timestamp_seconds w web": 1795356000,
		"rtshield_container_limits w web host":               2, "rtshield_container_limits w web changed": 1,
		"rtshield_interrupts_total w web 2 device": 13, "rtshield_interrupts_total w web 2 tick": 12,
		"rtshield_interrupts_total w web 2 ipi": 3, "rtshield_interrupts_total w web 2 other": 1,
		"rtshield_softirqs_total w web 2": 5, "rtshield_stolen_seconds_total w web 2": 0.02,
		"rtshield_foreign_seconds w web": 0.0025, "rtshield_foreign_turns w web": 9,
		"rtshield_container_cpus other w web": 2, "rtshield_container_cpus o a\"b\\c\nd\uFFFD": 0,
		"rtshield_bandwidth_ratio h half": 0.5, "rtshield_bandwidth_periods_total h half": 10,
		"rtshield_bandwidth_throttled_periods_total h half": 4, "rtshield_bandwidth_throttled_seconds_total h half": 0.25,
		"rtshield_host_broken_promises ": 1, "rtshield_container_promises w web holds": 9, "rtshield_container_promises w web broken": 2,
		"rtshield_container_promises w web cannot": 1, "rtshield_container_promises w web unknown": 0,
	} {
		if value, there := got[series]; !there || value != want {
			t.Errorf("%q is %v (%v), want %v\n%q", series, value, there, want, slices.Sorted(maps.Keys(got)))
		}
	}
	if strings.Contains(text, "disk") {
		t.Error("names of interrupts are labels: there may be thousands")
	}
}

// Dashboard and alert rules are tested with that text (integration/manifests).
func TestTheTextThatOthersAreTestedWithIsWhatStatusWrites(t *testing.T) {
	const file = "testdata/busy.prom"
	text, _ := exposed(t, busy())
	if want, err := os.ReadFile(file); err != nil || string(want) != text {
		t.Errorf("%v: %s is not\n%s", err, file, text)
	}
}

func TestTheDocumentListsEveryMetricWithItsLabels(t *testing.T) {
	data, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(line, "| `rtshield_") {
			documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2]) + ": " + strings.TrimSpace(cells[3])
		}
	}
	_, families := exposed(t, busy())
	for name, family := range families {
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			if !slices.Contains([]string{"root", "id", "name"}, pair.GetName()) {
				labels = append(labels, pair.GetName())
			}
		}
		if want := strings.ToLower(family.GetType().String()) + ": " + strings.Join(labels, ", "); documented[name] != want {
			t.Errorf("docs/status.md says %q of %s, it is %q", documented[name], name, want)
		}
		delete(documented, name)
	}
	if len(documented) > 0 {
		t.Errorf("docs/status.md has metrics that there are not: %v", documented)
	}
}

func TestTheSeriesAreBoundedByTheCPUs(t *testing.T) {
	const grants, each = 200, 2
	s := &Status{Promises: &Promises{}}
	for i := range grants {
		delta := &interference.Delta{ForeignNS: ptr(1), ForeignTurnsAtMost: ptr(1)}
		for cpu := range each {
			one := interference.CPU{CPU: i*each + cpu}
			for irq := range 100 {
				one.Devices = append(one.Devices, interference.Device{IRQ: irq, Name: fmt.Sprint("queue-", irq), Count: 1})
			}
			delta.CPUs = append(delta.CPUs, one)
		}
		s.Grants = append(s.Grants, Grant{ID: fmt.Sprint(i), Name: "web", Interference: delta, Limits: make([]shield.Limit, 50), Created: "2026-11-22T14:00:00Z"})
		s.Promises.Containers = append(s.Promises.Containers, Kept{ID: fmt.Sprint(i), Name: "web", Marks: map[string]int{"holds": 20}})
	}
	text, _ := exposed(t, s)
	series := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	if most := 11 + grants*11 + grants*each*6; series != most {
		t.Errorf("%d series, want %d", series, most)
	}
}

// In a cluster a scrape's own labels win over those of the text.
func TestNoLabelHasTheNameOfOneThatAScrapeAdds(t *testing.T) {
	_, families := exposed(t, busy())
	for name, family := range families {
		for _, pair := range family.GetMetric()[0].GetLabel() {
			if slices.Contains([]string{"container", "endpoint", "instance", "job", "namespace", "node", "pod", "service"}, pair.GetName()) {
				t.Errorf("%s has the label %s", name, pair.GetName())
			}
		}
	}
}
