// Command probe is the program inside the demo's container: it sleeps until the
// next full millisecond, again and again, and notes how late the kernel woke it.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/demo/wake"
)

// rtshield sets the policy of the container's first thread. Locked in init, main
// runs on just that one.
func init() { runtime.LockOSThread() }

func main() {
	seconds := flag.Float64("seconds", 4, "how long to measure")
	flag.Parse()
	if err := run(time.Duration(*seconds * float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(length time.Duration) error {
	debug.SetGCPercent(-1) // a collection would be measured as latency

	// An ordinary thread's timers may be 50 µs late by design, a real-time
	// thread's not (prctl(2)). Without the slack, all ways compare.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	report, err := conditions()
	if err != nil {
		return err
	}
	m := newMeter(length)

	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return err
	}
	// The end of the input is as good as a line: the probe works by hand, too.
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')

	if err := m.measure(); err != nil {
		return err
	}
	report.Late, report.Skipped = m.late, m.skipped
	slices.Sort(report.Late)
	return json.NewEncoder(os.Stdout).Encode(report)
}

// conditions are read from the kernel, not from what a runtime says it did.
func conditions() (wake.Report, error) {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return wake.Report{}, fmt.Errorf("sched_getattr: %w", err)
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return wake.Report{}, err
	}
	r := wake.Report{Policy: attr.Policy, Priority: attr.Priority, Env: map[string]string{}}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			r.CPUs = strings.TrimSpace(list)
		}
	}
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "RTSHIELD_") {
			r.Env[k] = v
		}
	}
	return r, nil
}
