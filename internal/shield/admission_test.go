package shield

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A key that the API server does not know would be refused there, one that only it knows here.
func TestTheAdmissionPolicyKnowsTheSameKeys(t *testing.T) {
	policy, err := os.ReadFile("../../deploy/base/admission.yaml")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`(?s)- name: known\n\s+expression: >-\s+\[(.*?)\]`).FindSubmatch(policy)
	if variable == nil {
		t.Fatal("there is no variable known")
	}
	var keys []string
	for word := range strings.SplitSeq(string(variable[1]), ",") {
		keys = append(keys, strings.Trim(strings.TrimSpace(word), "'"))
	}
	if !slices.Equal(keys, allKeys) {
		t.Errorf("the policy knows\n%q\nand the code\n%q", keys, allKeys)
	}
	if priority := BuiltinClasses()["fifo"].Priority; !strings.Contains(string(policy), "variables.ceiling >= 50") || priority != 50 {
		t.Errorf("the policy takes 50 for the built-in priority, and it is %d", priority)
	}
}
