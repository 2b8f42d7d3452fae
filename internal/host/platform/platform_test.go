package platform

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func TestTheLastOfAnOptionCountsUpToTheWordsForInit(t *testing.T) {
	root := host.Root(t.TempDir())
	if err := os.MkdirAll(root.Path("proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(root), "proc/cmdline"), []byte("isolcpus=1 quiet isolcpus=managed_irq,2 -- preempt=full\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		value string
		found bool
	}{"isolcpus": {"managed_irq,2", true}, "quiet": {"", true}, "preempt": {"", false}, "isol": {"", false}} {
		if value, found := Option(root, name); value != want.value || found != want.found {
			t.Errorf("%s: %q, %v", name, value, found)
		}
	}
}

func TestTheChosenOneIsInBrackets(t *testing.T) {
	for text, want := range map[string]string{
		"always [madvise] never": "madvise", "none voluntary (full)": "full", "[none] integrity confidentiality": "none", "": "", "a b": "",
	} {
		now, all := Chosen(text)
		if now != want || want != "" && !slices.Contains(all, want) {
			t.Errorf("%q: %q of %q", text, now, all)
		}
	}
}
