package cri_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

func TestAPodIsAUnitWhoseShimKeepsHouse(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		c := p.start(static(shielded()), loop)
		p.holds("after the start", c)
		shim := ofParent(t, c.pid())
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", shim))
		if err != nil || len(threads) == 0 {
			t.Fatalf("pid %d has no threads: %v", shim, err)
		}
		for _, thread := range threads {
			if now := testhost.Allowed(testhost.Read(t, thread)); now != others(t) {
				t.Errorf("%s may run on CPU %s, want %s", thread, now, others(t))
			}
		}
		out, err := engine.admin("status", "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var status struct {
			Grants []struct{ Helper int }
			Pods   []struct {
				ID, Name, CPUs string
				Containers     []string
			}
		}
		if err := json.Unmarshal(out, &status); err != nil {
			t.Fatal(err)
		}
		if len(status.Grants) != 1 || status.Grants[0].Helper != shim {
			t.Errorf("the grant's helper is not pid %d: %s", shim, out)
		}
		if len(status.Pods) != 1 || status.Pods[0].ID != p.id || status.Pods[0].Name != "default/web" || status.Pods[0].CPUs != shielded() || !slices.Equal(status.Pods[0].Containers, []string{"app"}) {
			t.Errorf("the pod %s is shown as %+v", p.id, status.Pods)
		}
	})
}
