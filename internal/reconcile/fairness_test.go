package reconcile

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestWhatKeepsTimeForOrdinaryThreadsIsRead(t *testing.T) {
	const server, release = "sys/kernel/debug/sched/fair_server/cpu", "proc/sys/kernel/osrelease"
	for name, c := range map[string]struct {
		files   map[string]string
		servers bool
		starved string
	}{
		"before 6.12":                      {map[string]string{release: "6.1.0", "sys/kernel/debug/sched/features": ""}, false, ""},
		"before 6.12, debugfs not mounted": {map[string]string{release: "6.1.0"}, false, ""},
		"6.12":                             {map[string]string{release: "6.12.57", server + "0/runtime": "50000000", server + "1/runtime": "50000000"}, true, ""},
		"6.12, debugfs not mounted":        {map[string]string{release: "6.12.57"}, true, ""},
		"6.12, one is off":                 {map[string]string{release: "6.12.57", server + "0/runtime": "50000000", server + "1/runtime": "0"}, true, "1"},
		"another's is off":                 {map[string]string{release: "6.12.57", server + "0/runtime": "50000000", server + "1/runtime": "50000000", server + "2/runtime": "0"}, true, ""},
	} {
		root := host.Root(t.TempDir())
		c.files["proc/sys/kernel/sched_rt_runtime_us"], c.files["proc/sys/kernel/sched_rt_period_us"] = "950000", "1000000"
		for path, text := range c.files {
			if err := os.MkdirAll(filepath.Dir(root.Path(path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(root.Path(path), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Fairness(root, cpuset.New(0, 1))
		if err != nil || got.Servers != c.servers || got.Starved.String() != c.starved || got.Throttle != (shield.Budget{Runtime: 950000, Period: 1000000}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := Fairness(host.Root(t.TempDir()), cpuset.New(0)); err == nil {
		t.Error("a host of which nothing can be read is fair")
	}
}
