package config

import (
	"os"
	"strings"
	"testing"
)

// The policy file that README shows is one that is accepted as it stands.
func TestTheExampleInREADMEIsAccepted(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "    [runtime]\n")
	if !found {
		t.Fatal("README shows no policy file")
	}
	example := "[runtime]\n"
	for line := range strings.Lines(rest) {
		code, indented := strings.CutPrefix(line, "    ")
		if !indented && strings.TrimSpace(line) != "" {
			break
		}
		example += code
	}
	config, err := Parse("README.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Classes["fifo"].IRQClaim) == 0 || len(config.Layout.Exempt) == 0 {
		t.Errorf("not all of the example was read: %q", example)
	}
}
