package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rtshield/rtshield/internal/latency"
)

// latencyReport has three ways with numbers as bad as they get.
func latencyReport(t *testing.T) *latency.Report {
	t.Helper()
	way := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"cpus":"16-31","policy":"other","samples":123456789,"max_us":1234567,
			"percentiles_us":{"p50":12345,"p99":123456,"p99.9":1234567},"histogram":{"1":1}}`, name)
	}
	report, err := latency.Read([]byte(`{"host":{"kernel":"6.12.1-a-long-name","build":"#1 SMP PREEMPT_RT","cpus":"0-127","processor":"A very long name of one"},
		"load":"256 busy loops, 512 pairs that pass messages, a memory copier and a file writer","ways":[` +
		strings.Join([]string{way("runc"), way("runc + cpus=16-31"), way("rtshield")}, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTheTableOfLatencyFitsAHundredColumns(t *testing.T) {
	var out strings.Builder
	report := latencyReport(t)
	report.Limit = 2_000_000
	report.Cause = []string{"not looked for: tracefs is not mounted (mount -t tracefs nodev /sys/kernel/tracing), or this kernel cannot trace"}
	printLatency(&out, report)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, text := range []string{"HOW", "P99.9 µs", "P99.99 µs", "SAMPLES", "runc + cpus=16-31", " -  ", "123456789", "no difference", "--max 2s: kept"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("no %q in\n%s", text, out.String())
		}
	}
}

func TestMaxMakesLatencyATestWithAnExitStatus(t *testing.T) {
	for _, c := range []struct {
		limit       int64
		interrupted bool
		status      int
	}{{0, false, 0}, {2_000_000, false, 0}, {1000, false, 1}, {0, true, 130}, {2_000_000, true, 130}} {
		report := latencyReport(t)
		report.Limit, report.Interrupted = c.limit, c.interrupted
		err := latencyVerdict(report)
		var status exit
		if errors.As(err, &status); status.code != c.status || (err != nil) != (c.status != 0) {
			t.Errorf("limit %d µs, interrupted %v: %v", c.limit, c.interrupted, err)
		}
	}
}

func TestABadCommandLineOfLatencyStartsNothing(t *testing.T) {
	for args, want := range map[string]string{
		"extra":                           `takes no argument, got "extra"`,
		"--rounds 0":                      "--rounds 0: expected 1 or more",
		"--duration 1500ms":               "--duration 1.5s: expected whole seconds",
		"--interval 1us":                  "--interval 1µs: expected at least 50us",
		"--interval 2s":                   "at most a tenth of --duration",
		"--max 0s":                        "--max 0s: expected at least 1us",
		"--load=":                         "--load: expected builtin, none, or a command",
		"--annotation rtshield.io/class":  "expected KEY=VALUE",
		"--nonsense":                      "rtshield latency --help",
		"--output /nonexistent/directory": "no such file or directory",
	} {
		t.Setenv("RTSHIELD_CONFIG", "/nonexistent/config.toml")
		err := administrator().Run(append([]string{"rtshield", "latency"}, strings.Fields(args)...))
		var status exit
		if !errors.As(err, &status) || status.code != 2 || !(strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "config.toml")) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
		if !strings.HasPrefix(args, "--output") && strings.Contains(err.Error(), "config.toml") {
			t.Errorf("%s: the policy file was read before the command line: %v", args, err)
		}
	}
}

func TestTheBarShowsHowMuchIsOverAndHowLongTheRestTakes(t *testing.T) {
	got := bar("rtshield", 2, 15, 5*time.Second, 10*time.Second)
	if want := "[#####-------------------------] 3 of 15: rtshield, 2m5s left"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestInAPipeThereIsNoBar(t *testing.T) {
	read, written, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shown := newProgress(latency.Options{}, written)
	shown.begin("runc", 0, 3)
	shown.end()
	written.Close()
	if n, _ := read.Read(make([]byte, 1)); n != 0 {
		t.Error("something was written")
	}
}
