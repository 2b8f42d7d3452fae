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
