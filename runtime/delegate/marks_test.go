package delegate

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheMarksTellAndAreForgotten(t *testing.T) {
	before := runPointers
	t.Cleanup(func() { runPointers = before })
	runPointers = testPointers(t)
	t.Setenv("RTSHIELD_CONFIG", "/etc/some.toml")
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	for range 2 { // the second finds what the first left
		if err := MarkLedger(ledger); err != nil {
			t.Fatal(err)
		}
	}
	if Holds() {
		t.Error("it holds without a ledger")
	}
	if err := os.WriteFile(ledger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !Holds() {
		t.Error("it does not find the ledger")
	}
	if RewritesExec() {
		t.Error("exec is marked")
	}
	if err := MarkRewritesExec(); err != nil || !RewritesExec() {
		t.Errorf("exec is not marked, %v", err)
	}
	if err := Forget("/etc/other.toml"); err != nil || !Holds() || !RewritesExec() {
		t.Errorf("another file's were forgotten: %v", err)
	}
	if err := Forget("/etc/some.toml"); err != nil || Holds() || RewritesExec() {
		t.Errorf("they are still there: %v", err)
	}
	if left, err := os.ReadDir(runPointers.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
