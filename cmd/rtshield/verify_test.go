package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/verify"
)

func TestVerifyFitsAHundredColumns(t *testing.T) {
	cgroup := "/sys/fs/cgroup/cpuset/system.slice/docker-" + strings.Repeat("0123456789abcdef", 12) + ".scope"
	report := &verify.Report{
		Repaired: []string{cgroup + "/cpuset.cpus: 0-1 → 1"},
		Containers: []verify.Container{{
			Name: strings.Repeat("x", 120), Class: "fifo", CPUs: shield.CPUsOf(cpuset.New(1)), PID: 12,
			Promises: []verify.Promise{
				{Name: "policy", Mark: verify.Holds, What: "fifo 50 of its first thread"},
				{Name: "cpuset", Mark: verify.Broken, What: "cpuset.cpus of " + cgroup + ` is "0-1"`, Why: "somebody → changed it", Help: "rtshield verify --repair"},
				{Name: "other tasks", Mark: verify.Cannot, What: strings.Repeat("kworker/1:0, ", 30)},
			},
			Interference: &interference.Delta{Seconds: 5, CPUs: []interference.CPU{{CPU: 1, Ticks: 7}, {CPU: 2, Offline: true}}},
		}, {Name: "new"}},
		Totals: map[verify.Mark]int{verify.Holds: 1, verify.Broken: 1, verify.Cannot: 1},
	}
	var out strings.Builder
	printVerified(&out, report)
	text := out.String()
	fits(t, text)
	for _, words := range []string{
		"  holds    policy       fifo 50 of its first thread\n", "  BROKEN   cpuset       cpuset.cpus of\n", "  cannot   other tasks  kworker",
		"  counted  CPU 1        0 device irqs, 7 ticks", "is being created", "2 containers: 1 hold, 1 broken, 1 this host cannot, 0 unknown\n",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("no %q in:\n%s", words, text)
		}
	}
	if joined := strings.Join(strings.Fields(text), ""); !strings.Contains(joined, cgroup+`is"0-1":somebody→changedit(rtshieldverify--repair)`) {
		t.Errorf("something was lost:\n%s", text)
	}
}

// fits fails for each line of more than a hundred columns.
func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
