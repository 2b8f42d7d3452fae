package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// checked gives what rtshield check finds about the kubelet, with a policy file.
func checked(t *testing.T, policy testhost.PolicyFile) (mark, found string) {
	t.Helper()
	cmd := exec.Command(node.Path("bin/rtshield"), "check", "--json")
	cmd.Env = append(os.Environ(), policy.Env())
	out, err := cmd.Output() // its status says the same as the marks
	var report struct {
		Findings []struct{ Check, Mark, Found string }
	}
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	for _, finding := range report.Findings {
		if finding.Check == "kubelet" {
			return finding.Mark, finding.Found
		}
	}
	t.Fatalf("nothing is said of the kubelet: %s", out)
	return "", ""
}

// What is compared is what the kubelet itself wrote, and the configuration that it runs with.
func TestCheckComparesTheLayoutWithARealKubelet(t *testing.T) {
	unchanged(t)
	if mark, found := checked(t, node.Policy); mark == "fail" {
		t.Errorf("of a node that fits: %s", found)
	}
	p := resting(t, "loop", "rtshield-fifo", whole)
	if mark, found := checked(t, node.Policy); mark == "fail" {
		t.Errorf("beside a pod with a CPU: %s", found)
	}
	p.holds("after the check")
	p.remove()
	wrong := testhost.Policy(t, testhost.Options{State: node.Policy.State,
		Layout: fmt.Sprintf("shield = %q\nkubelet = %q", node.Others, node.Path("kubelet"))})
	if mark, found := checked(t, wrong); mark != "fail" {
		t.Errorf("of a node that keeps house on the shield: %s: %s", mark, found)
	} else {
		t.Log(found)
	}
}
