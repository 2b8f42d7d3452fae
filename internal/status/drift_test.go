package status

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHugePagesThatAreMissingAreTakenByOthersAndNoLimitOfTheHost(t *testing.T) {
	const pool = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/"
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "4", "sys/devices/system/node/online": "0",
		pool + "nr_hugepages": "4", pool + "free_hugepages": "4", pool + "surplus_hugepages": "0",
	})
	grant := shield.Grant{Key: shield.Key{ID: "web"}, HugePages: []shield.PageShare{{Size: 2 << 20, Node: 0, Count: 4}}}
	ledger := &shield.Ledger{Grants: []shield.Grant{grant}}
	if limits := pageLimits(host.Root(dir), ledger, grant); len(limits) > 0 {
		t.Errorf("all are there: %+v", limits)
	}
	write(t, dir, map[string]string{pool + "free_hugepages": "1"})
	limits := pageLimits(host.Root(dir), ledger, grant)
	if len(limits) != 1 || !limits[0].Drift || limits[0].Kind != shield.HugePagePool || !strings.Contains(limits[0].What, "3 of 2Mi on node 0 are missing") || limits[0].Help == Reconcile {
		t.Errorf("three are gone: %+v", limits)
	}
}

// This process is taken for the container's.
func TestAThreadThatIsNotAsItsRuleSaysWasChanged(t *testing.T) {
	pid := os.Getpid()
	for name, c := range map[string]struct {
		comm string
		want []string
	}{
		"another policy": {"ctl-0", []string{"threads that are born or renamed", "1 thread(s) are not as their rule says: ctl-0 has other on "}},
		"no rule":        {"log", []string{"threads that are born or renamed"}},
	} {
		dir := t.TempDir()
		proc := fmt.Sprintf("proc/%d/", pid)
		stat := fmt.Sprintf("%d (%s) S 1%s", pid, c.comm, strings.Repeat(" 0", 48))
		write(t, dir, map[string]string{
			proc + "stat": stat, proc + fmt.Sprintf("task/%d/stat", pid): stat, "cg/cgroup.procs": fmt.Sprint(pid),
		})
		grant := shield.Grant{
			Bound: true, Owner: shield.Owner{PID: pid}, Cgroups: shield.Cgroups{Cpuset: "/cg"}, CPUs: shield.CPUsOf(cpuset.New(0)),
			Policy: shield.Other, Starting: "runc:[2:INIT]", Threads: []shield.ThreadRule{{Name: "ctl-*", Policy: shield.FIFO, Priority: 80, Position: shield.Anywhere}},
		}
		shown := Grant{State: "bound"}
		addThreads(host.Root(dir), shield.Store{Dir: t.TempDir()}, grant, &shown)
		if len(shown.Limits) != len(c.want) {
			t.Fatalf("%s: %+v", name, shown.Limits)
		}
		for i, words := range c.want {
			if limit := shown.Limits[i]; !strings.HasPrefix(limit.What, words) || !limit.Drift || limit.Kind != shield.ByRule || limit.Help != Reconcile {
				t.Errorf("%s: %+v, want %q", name, limit, words)
			}
		}
	}
}
