package reconcile

import (
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Threads born while two shields stand inherit what their parents were given last.
func TestWhatThreadsAreGivenIsRememberedWithEachGrant(t *testing.T) {
	ledger := &shield.Ledger{Since: 1}
	knob := shield.Knob{Kind: shield.Thread, Name: "7:150"}
	for _, want := range []string{"0-1,4-7", "0-1,6-7", "0-1,4-7"} {
		record(host.System, ledger, []shield.Setting{{Knob: knob, Baseline: "0-7", Now: "0-7", Want: want}})
		if ledger.Given[want] != "0-7" {
			t.Errorf("given %s: %v", want, ledger.Given)
		}
	}
	if ledger.Baselines[knob.String()] != "0-7" {
		t.Errorf("noted: %v", ledger.Baselines)
	}
}

// Two that had different CPUs may be given the same, where a node has none left: their children get back what either had. The
// kernel's threads have no children.
func TestOfTwoThatWereGivenTheSameChildrenGetWhatEitherHad(t *testing.T) {
	ledger := &shield.Ledger{Since: 1}
	for _, setting := range []shield.Setting{
		{Knob: shield.Knob{Kind: shield.Thread, Name: "7:150"}, Baseline: "4-7", Now: "4-7", Want: "0-1", Kernel: true},
		{Knob: shield.Knob{Kind: shield.Thread, Name: "8:150"}, Baseline: "0-3,6-7", Now: "0-3,6-7", Want: "0-1"},
		{Knob: shield.Knob{Kind: shield.Thread, Name: "9:150"}, Baseline: "0-5", Now: "0-5", Want: "0-1"},
		{Knob: shield.Knob{Kind: shield.Thread, Name: "10:150"}, Baseline: "4-7", Now: "4-7", Want: "6-7", Kernel: true},
	} {
		record(host.System, ledger, []shield.Setting{setting})
	}
	if len(ledger.Given) != 1 || ledger.Given["0-1"] != "0-7" {
		t.Errorf("given: %v", ledger.Given)
	}
}
