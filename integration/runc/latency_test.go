package runc_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	measured "github.com/rtshield/rtshield/internal/latency"
)

// latencyLeft lists what a measurement could leave behind.
func latencyLeft() (left []string) {
	for _, pattern := range []string{"/var/tmp/rtshield-latency-*", "/sys/fs/cgroup/rtshield-latency-*", "/sys/fs/cgroup/*/rtshield-latency-*"} {
		found, _ := filepath.Glob(pattern)
		left = append(left, found...)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if text, _ := os.ReadFile(file); bytes.Contains(text, []byte("latency-load")) || bytes.Contains(text, []byte("\x00--default-system\x00")) {
			left = append(left, file+": "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return left
}

// cleanOfLatency fails where something of a measurement is left, or the host is not as it was.
func cleanOfLatency(r *rig.Rig) {
	r.Helper()
	for _, left := range latencyLeft() {
		r.Errorf("left behind: %s", left)
	}
	r.AsBefore("after rtshield latency")
}

func TestLatencyMeasuresThreeWaysAndDrawsThem(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	testhost.Plotter(t)
	output := filepath.Join(r.Dir, "picture")
	res := r.Shield("latency", "--rounds", "1", "--duration", "2s", "--max", "1us", "--output", output)
	has(t, "stdout", res.Stdout, "HOW", "P99.9 µs", "rtshield", "fifo 50", "cpu_dma_latency not held", "busy loops", "why a wake-up is late: ")
	has(t, "stderr", res.Stderr, "the latest wake-up of rtshield came after", output+".png")
	if res.Code != 1 || strings.Contains(res.Stderr, "\r") {
		t.Errorf("no wake-up takes 1 µs, and a pipe gets no progress bar: %s", res)
	}
	report, err := measured.Read([]byte(r.Text(output + ".json")))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ name, cpus, policy string }{{"runc", "0-1", "other"}, {"runc + cpus=1", shieldCPU, "other"}, {"rtshield", shieldCPU, "fifo 50"}} {
		way := report.Ways[i]
		if way.Name != want.name || way.CPUs.String() != want.cpus || way.Policy != want.policy || way.Samples < 500 || way.Samples != way.Histogram.Samples() {
			t.Errorf("%s on CPU %s under %s, %d samples; want %+v", way.Name, way.CPUs, way.Policy, way.Samples, want)
		}
	}
	if level := report.Shielded().Level; level != "cpuset" {
		t.Errorf("level %q", level)
	}
	if _, err := png.Decode(strings.NewReader(r.Text(output + ".png"))); err != nil {
		t.Errorf("%s.png: %v", output, err)
	}
	for decoder := xml.NewDecoder(strings.NewReader(r.Text(output + ".svg"))); err != io.EOF; _, err = decoder.Token() { //nolint:errorlint // Token gives io.EOF itself
		if err != nil {
			t.Fatalf("%s.svg: %v", output, err)
		}
	}
	cleanOfLatency(r)
}

func TestLatencyThatIsInterruptedPrintsWhatItHasAndLeavesTheHostAsItWas(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	cmd := r.Command(t.Context(), r.Rtshield, "latency", "--rounds", "2", "--duration", "3s", "--output", "")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.Cleanup(func() { _ = cmd.Process.Kill() })
	r.Eventual(func() error { // two ways have been measured, and rtshield's container runs
		if ledger := r.Ledger(); ledger == nil || len(ledger.Grants) == 0 || !ledger.Grants[0].Bound {
			return errors.New("rtshield's container does not run yet")
		}
		return nil
	})
	time.Sleep(time.Second)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || time.Since(began) > 10*time.Second {
		t.Errorf("exit status %d after %v\n%s%s", code, time.Since(began), &stdout, &stderr)
	}
	has(t, "stdout", stdout.String(), "\nrunc ", "\nrunc + cpus=1 ", "\nrtshield ", "fifo 50")
	cleanOfLatency(r)
}

func TestLatencyNeverMeasuresWithoutItsLoad(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	res := r.Shield("latency", "--rounds", "1", "--duration", "1s", "--output", "", "--load", "false")
	has(t, "stderr", res.Stderr, "the load has ended (exit status 1)")
	if res.Code != 2 || res.Stdout != "" {
		t.Error(res)
	}
	cleanOfLatency(r)
}

func TestLatencyOfAClassThatIsNotThereStartsNothing(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	res := r.Shield("latency", "--class", "nonsense", "--output", "")
	has(t, "stderr", res.Stderr, `"nonsense"`, "fifo")
	if res.Code != 2 || len(lines(res.Stderr)) != 1 {
		t.Error(res)
	}
	res = r.Shield("latency", "--class", "deadline", "--output", "")
	has(t, "stderr", res.Stderr, "which cyclictest cannot run under")
	cleanOfLatency(r)
}
