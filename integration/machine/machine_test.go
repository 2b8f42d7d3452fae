package machine

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTheFirstProcessIsAlwaysExempt(t *testing.T) {
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		t.Fatal(err)
	}
	if name := literal.Replace(strings.TrimSpace(string(comm))); !slices.Contains(Exempt(), name) {
		t.Errorf("%q is not among %q: rtshield would move it", name, Exempt())
	}
	for _, name := range Exempt() {
		if strings.HasPrefix(name, "kworker/") {
			t.Errorf("a kernel thread, %s, is exempt: the shield would leave it where it is", name)
		}
	}
}
