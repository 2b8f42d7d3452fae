package config

import (
	"os"
	"strings"
	"testing"
)

// The policy file that README shows is one that is accepted as it stands.
func TestTheExampleInREADMEIsAccepted(t *testing.T) {
	config := parseExample(t, "../../README.md", "[runtime]\n")
	if len(config.Classes["fifo"].IRQClaim) == 0 || len(config.Layout.Exempt) == 0 {
		t.Errorf("not all of the example was read: %+v", config)
	}
}

func TestTheSharedClassOfTheDocumentIsAccepted(t *testing.T) {
	if config := parseExample(t, "../../docs/kubernetes.md", "[class.fifo]\n"); !config.Classes["fifo"].Shared {
		t.Errorf("not all of the example was read: %+v", config)
	}
}

// parseExample reads the policy file that a document shows, indented, from a line on.
func parseExample(t *testing.T, document, first string) Config {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "    "+first)
	if !found {
		t.Fatalf("%s shows no policy file", document)
	}
	example := first
	for line := range strings.Lines(rest) {
		code, indented := strings.CutPrefix(line, "    ")
		if !indented && strings.TrimSpace(line) != "" {
			break
		}
		example += code
	}
	config, err := Parse(document, []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	return config
}
