package latency

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// recorded is what cyclictest 2.40 printed on a virtual machine, without rows of zeros at the end.
func recorded(t *testing.T) Histogram {
	t.Helper()
	file, err := os.Open("testdata/cyclictest-2.40.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := parseHistogram(file)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCyclictestsHistogramIsReadWithAllItsSamples(t *testing.T) {
	h := recorded(t)
	if h.Samples() != 5997 || h.Max != 1813 || h.Later != 0 || h.counts[15] != 2813 {
		t.Errorf("%d samples, max %d, %d later, %d of 15 µs", h.Samples(), h.Max, h.Later, h.counts[15])
	}
	for p, want := range map[float64]int{50: 15, 99: 52, 99.9: 117} {
		if got, known := h.Percentile(p); got != want || !known {
			t.Errorf("p%v: %d, %v, want %d", p, got, known, want)
		}
	}
	if _, known := h.Percentile(99.99); known {
		t.Error("6000 samples do not have a p99.99")
	}
}

func TestWhatIsLaterThanTheHistogramGoesCountsAsTheLatest(t *testing.T) {
	h, err := parseHistogram(strings.NewReader("# /dev/cpu_dma_latency set to 0us\n# Histogram\n000001 000006\n000002 000000\n" +
		"# Total: 000000006\n# Max Latencies: 250000\n# Histogram Overflows: 00004\n# Histogram Overflow at cycle number:\n# Thread 0: 00001\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p50, _ := h.Percentile(50); h.Samples() != 10 || p50 != 1 {
		t.Errorf("%d samples, p50 %d", h.Samples(), p50)
	}
	if p90, known := h.Percentile(90); p90 != 250000 || !known {
		t.Errorf("p90 %d, %v", p90, known)
	}
}

func TestWhatIsNoHistogramIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "printed no histogram",
		"000001 000002\n":                  "printed no histogram", // cut off
		"000001 many\n# Total: 1\n":        `line "000001 many"`,
		"usage: cyclictest <options>\n":    "expected µs and how many",
		"# Total: 1\n# Max Latencies: x\n": `line "# Max Latencies: x"`,
	} {
		if _, err := parseHistogram(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestAPercentileIsTheNearestRank(t *testing.T) {
	h := Histogram{counts: map[int]uint64{}}
	for us := range 1000 {
		h.counts[us+1] = 1
	}
	for p, want := range map[float64]int{50: 500, 99: 990, 99.9: 999} {
		if got, known := h.Percentile(p); got != want || !known {
			t.Errorf("p%v of 1..1000: %d, %v, want %d", p, got, known, want)
		}
	}
	if _, known := (Histogram{}).Percentile(50); known {
		t.Error("nothing has a median")
	}
}

func TestRoundsAddUp(t *testing.T) {
	way := Way{Name: "rtshield"}
	way.add(Histogram{counts: map[int]uint64{3: 2, 9: 1}, Max: 9})
	way.add(Histogram{counts: map[int]uint64{3: 1}, Later: 1, Max: 200_000})
	if way.Samples != 5 || way.Max != 200_000 || way.Later != 1 || way.Percentiles["p50"] != 3 {
		t.Errorf("%+v", way)
	}
}

func TestAReportIsReadBackAsItWasWritten(t *testing.T) {
	report := exampleReport(t)
	report.Ways[0].add(Histogram{counts: map[int]uint64{5: 1}, Later: 2, Max: 300_000})
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(got); err != nil || string(again) != string(text) {
		t.Errorf("%v\ngot  %s\nwant %s", err, again, text)
	}
	for i := range report.Ways {
		if got, want := got.Ways[i].Histogram, report.Ways[i].Histogram; !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	for text, want := range map[string]string{"{}": "has no ways", "[": "not a report", `{"ways":[{"histogram":{"x":1}}]}`: "no number of µs"} {
		if _, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// exampleReport has runc ten times as late as rtshield.
func exampleReport(t *testing.T) *Report {
	t.Helper()
	report := &Report{Load: "4 busy loops", Interval: 1000, Rounds: 1, Seconds: 6}
	for _, name := range []string{"runc", "runc + cpus=1", "rtshield"} {
		way := Way{Name: name, Histogram: Histogram{counts: map[int]uint64{}}}
		round := recorded(t)
		if name != "rtshield" {
			slow := Histogram{counts: map[int]uint64{}, Max: 10 * round.Max}
			round.Each(func(us int, count uint64) { slow.counts[10*us] = count })
			round = slow
		}
		way.add(round)
		report.Ways = append(report.Ways, way)
	}
	return report
}

func TestAReportSaysHowRtshieldStandsToRunc(t *testing.T) {
	report := exampleReport(t)
	if got, want := report.Compared(), "p99.9 of rtshield is 117 µs, that of runc 1170 µs: 10.0 times better"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	report.Ways[0], report.Ways[2] = report.Ways[2], report.Ways[0]
	if got := report.Compared(); !strings.HasSuffix(got, "10.0 times worse") {
		t.Errorf("%q", got)
	}
	report.Ways[0] = report.Ways[2]
	if got := report.Compared(); !strings.HasSuffix(got, "no difference") {
		t.Errorf("%q", got)
	}
}

func TestTheVerdictIsAboutTheLatestWakeUpUnderRtshield(t *testing.T) {
	report := exampleReport(t)
	for limit, kept := range map[int64]bool{1812: false, 1813: true, 5000: true} {
		report.Limit = limit
		if got, why := report.Verdict(); got != kept || !strings.Contains(why, "1813 µs") {
			t.Errorf("limit %d µs: %v, %s", limit, got, why)
		}
	}
	report.Interrupted = true
	if kept, _ := report.Verdict(); kept {
		t.Error("a measurement that was interrupted has passed")
	}
	if kept, _ := (&Report{Ways: make([]Way, 3), Limit: 50}).Verdict(); kept {
		t.Error("nothing was measured, and it has passed")
	}
}

func TestCyclictestIsToldToTuneNothingAndToRunAsTheClass(t *testing.T) {
	line := strings.Join(arguments("/usr/bin/cyclictest", 500*time.Microsecond, 3*time.Second, shield.FIFO, 50), " ")
	for _, word := range []string{"--default-system", "--interval=500", "--duration=3", "--policy=fifo", "--priority=50", "--histogram=100000"} {
		if !strings.Contains(line+" ", " "+word+" ") {
			t.Errorf("no %s in %s", word, line)
		}
	}
	if line := strings.Join(arguments("cyclictest", time.Millisecond, time.Second, shield.Other, 0), " "); strings.Contains(line, "priority") {
		t.Errorf("any priority makes it FIFO: %s", line)
	}
}

func TestTheConditionsNameTheHost(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD  EPYC\nflags\t\t: fpu hypervisor lm\n\nprocessor\t: 1\nmodel name\t: Other\n")
	write(t, dir, "sys/devices/system/cpu/online", "0-3\n")
	write(t, dir, "sys/devices/system/cpu/cpuidle/current_driver", "acpi_idle\n")
	write(t, dir, "sys/devices/system/cpu/cpuidle/current_governor_ro", "menu\n")
	h := observe(host.Root(dir))
	if h.Processor != "AMD EPYC" || !h.Virtual || h.CPUs.String() != "0-3" || h.Idle != "cpuidle driver acpi_idle, governor menu" {
		t.Errorf("%+v", h)
	}
	h.Kernel, h.Build = "6.12.1", "#1 SMP PREEMPT_RT Debian"
	report := Report{Host: h, Load: "nothing", Interval: 1000, Rounds: 2, Seconds: 5, Cyclictest: "2.40"}
	want := [2]string{
		"Linux 6.12.1 (PREEMPT_RT), CPUs 0-3 of AMD EPYC, virtual; load: nothing",
		"cyclictest 2.40 wakes up every 1ms; each way 2 times 5s, in turns; CPUs may sleep (cpuidle driver acpi_idle, governor menu; cpu_dma_latency not held)",
	}
	if got := report.Conditions(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	report.Held = true
	if got := report.Conditions()[1]; !strings.HasSuffix(got, "no CPU sleeps (cpu_dma_latency held at 0 µs)") {
		t.Errorf("%q", got)
	}
}
