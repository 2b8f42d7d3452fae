package verify

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

func TestMetricsCountEachMarkOfEachContainer(t *testing.T) {
	var all []Promise
	for i, mark := range []Mark{Holds, Broken, Cannot, Unknown} {
		if status.Marks[i] != string(mark) {
			t.Errorf("mark %s is %s in the metrics", mark, status.Marks[i])
		}
		all = append(all, slices.Repeat([]Promise{{Mark: mark}}, i+1)...)
	}
	report := Report{Host: []Promise{{Mark: Broken}}, Containers: []Container{{ID: "w", Root: "/r", Name: "web", Promises: all}, {ID: "s", Name: "shared"}}}
	counted := report.counted()
	if counted.Host != 1 || len(counted.Containers) != 2 || len(counted.Containers[1].Marks) != 0 {
		t.Fatalf("%+v", counted)
	}
	web := counted.Containers[0]
	if want := map[string]int{"holds": 1, "broken": 2, "cannot": 3, "unknown": 4}; web.ID != "w" || web.Root != "/r" || web.Name != "web" || !maps.Equal(web.Marks, want) {
		t.Errorf("%+v", web)
	}
}

// This process is taken for the container's.
func TestWhatWalksTheMemoryOfAContainerIsLeftOutForMetrics(t *testing.T) {
	pid := os.Getpid()
	stat, err := task.Read(host.System, pid)
	if err != nil {
		t.Fatal(err)
	}
	grant := shield.Grant{Owner: shield.Owner{PID: pid, Start: stat.Start}, Cgroups: shield.Cgroups{Cpuset: "/no/such/cgroup"}, Pinned: true, Memory: shield.Memory{THP: shield.Never, Policy: shield.Bind}}
	if now := read(host.System, grant, false); now.bound == nil || now.thp == nil {
		t.Errorf("verify looks at all: %+v", now)
	}
	if now := read(host.System, grant, true); now.bound != nil || now.thp == nil {
		t.Errorf("metrics leave numa_maps alone, and nothing else: %+v", now)
	}
}
