package main

import (
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/terminal"
)

var someReport = &check.Report{
	Kernel: "6.18", System: "Debian", Class: "fifo", Level: "cpuset", Weaker: strings.Repeat("why not ", 30),
	Findings: []check.Finding{
		{Group: "kernel", Name: "preemption", Mark: check.Limit, Found: strings.Repeat("long ", 40), Why: strings.Repeat("why ", 40), Do: []string{strings.Repeat("x", 300)},
			Micros: &check.Micros{Value: 4000, What: "from one tick to the next", Source: "CONFIG_HZ=250"}, Fix: "echo full >/sys", Looked: []string{"/proc/version"}},
		{Group: "kernel", Name: "FIFO", Mark: check.Fail, Found: "no"},
		{Group: "cgroups", Name: "managed interrupts", Mark: check.Good, Found: "fine", Why: "hidden"},
		{Group: "cgroups", Name: "partition", Mark: check.Unknown, Found: "not tried"},
	},
	Boot: &check.Boot{Do: strings.Repeat("option=1 ", 30)}, Fixed: []string{"would " + strings.Repeat("y", 200)},
	Totals: map[check.Mark]int{check.Good: 1, check.Limit: 1, check.Fail: 1, check.Unknown: 1},
}

func TestCheckFitsAHundredColumns(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out strings.Builder
		newPage(&out, verbose).print(someReport)
		text := out.String()
		fits(t, text)
		for _, words := range []string{
			"\nkernel\n  limit    preemption          long", "\n  FAIL     FIFO                no\n", "\ncgroups\n  good     managed interrupts  fine\n",
			"in µs: 4000 from one tick to the next (CONFIG_HZ=250)\n", "--fix: echo full", "1 good, 1 limit, 1 failure, 1 unknown: this host is not fit\n",
		} {
			if !strings.Contains(text, words) {
				t.Errorf("no %q in:\n%s", words, text)
			}
		}
		if verbose != strings.Contains(text, "looked at: /proc/version") || verbose != strings.Contains(text, "why: hidden") || strings.Contains(text, "\x1b") {
			t.Errorf("verbose %v:\n%s", verbose, text)
		}
	}
}

func TestTheMarksOfCheckAreColoured(t *testing.T) {
	var text strings.Builder
	page{Page: terminal.Page{Writer: &text, Width: 100, Colour: true}}.print(someReport)
	for _, words := range []string{"\x1b[33m  limit  \x1b[0m  preemption", "\x1b[1;31m  FAIL   \x1b[0m  FIFO", "\x1b[32m  good   \x1b[0m  managed", "\x1b[1mkernel\x1b[0m\n"} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("no %q in:\n%q", words, text.String())
		}
	}
}

func TestWrongUsesOfCheckEndWithStatus2(t *testing.T) {
	for _, args := range [][]string{{"--dry-run"}, {"web"}, {"--no-such-flag"}, {"--class", "nosuch", "--no-try"}} {
		if code := administrate(append([]string{"rtshield", "check"}, args...)); code != 2 {
			t.Errorf("%q: status %d", args, code)
		}
	}
}

func TestTheSchemaIsPrinted(t *testing.T) {
	var out strings.Builder
	app := administrator()
	app.Writer = &out
	if err := app.Run([]string{"rtshield", "check", "--json-schema"}); err != nil || out.String() != check.Schema || !strings.Contains(out.String(), "draft/2020-12") {
		t.Errorf("%v: %s", err, out.String())
	}
}
