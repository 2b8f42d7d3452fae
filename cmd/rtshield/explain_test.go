package main

import (
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/runtime"
)

func TestExplainHasALineForEachDecisionThatFitsThePage(t *testing.T) {
	var out strings.Builder
	printExplanation(terminal.To(&out), &runtime.Explanation{Delegate: "/usr/sbin/runc", Why: []shield.Source{
		{What: "class", Value: "fifo", From: "annotation rtshield.io/class"},
		{What: "delegate", Value: "/opt/" + strings.Repeat("deep/", 20) + "runc", From: "the first of runc, crun that is there, /etc/rtshield/config.toml:2"},
		{What: "level", Value: "cpuset", From: strings.Repeat("a partition takes cgroup v2 and Linux 6.7 ", 4)},
	}})
	text := out.String()
	_, why, _ := strings.Cut(text, "\nwhy:\n")
	for _, line := range tooWide(why, 100) {
		t.Error(line)
	}
	for _, words := range []string{
		"an ordinary container: it asks for no class", "\n  class     fifo    annotation rtshield.io/class\n",
		"\n  delegate  /opt/deep/deep/", "deep/runc\n                    the first of runc, crun that is there, /etc/rtshield/config.toml:2\n",
	} {
		if !strings.Contains(text, words) {
			t.Errorf("no %q in\n%s", words, text)
		}
	}
}
