package snapshot

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, root, path, content string) {
	t.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTakeReadsBothHierarchies(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{
		"/proc/irq/36/smp_affinity_list":               "0-1\n",
		"/proc/irq/36/node":                            "0\n",
		"/proc/irq/36/smp_affinity":                    "3\n",
		"/proc/irq/default_smp_affinity":               "3\n",
		"/sys/fs/cgroup/cpu,cpuacct/cpu.rt_runtime_us": "950000\n",
		"/sys/fs/cgroup/cpuset/docker/cpuset.cpus":     "0-1\n",
		"/sys/fs/cgroup/unified/a.slice/cpuset.cpus":   "\n",
		"/sys/fs/cgroup/unified/a.slice/cgroup.procs":  "1\n",
		"/sys/devices/virtual/workqueue/cpumask":       "3\n",
		"/run/rtshield/ledger.json":                    "{}",
		"/sys/class/net/e/queues/tx-0/xps_cpus":        "00\n",
		"/sys/class/net/e/queues/tx-0/queue/limit":     "17\n",
		"/sys/devices/system/cpu/cpu1/power/control":   "auto\n",
		"/etc/default/irqbalance":                      "A=1\n",
	} {
		write(t, root, path, content)
	}
	for _, path := range []string{"/proc/irq/36/node", "/proc/irq/36/smp_affinity_list"} { // managed by the kernel
		if err := os.Chmod(root+path, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("cpu,cpuacct", root+"/sys/fs/cgroup/cpu"); err != nil {
		t.Fatal(err)
	}
	want := Snapshot{
		"/proc/irq/36/smp_affinity_list":               "0-1",
		"/sys/class/net/e/queues/tx-0/xps_cpus":        "00",
		"/sys/devices/system/cpu/cpu1/power/control":   "auto",
		"/etc/default/irqbalance":                      "A=1",
		"/proc/irq/default_smp_affinity":               "3",
		"/sys/fs/cgroup/cpu,cpuacct/cpu.rt_runtime_us": "950000",
		"/sys/fs/cgroup/cpuset/docker/cpuset.cpus":     "0-1",
		"/sys/fs/cgroup/unified/a.slice/cpuset.cpus":   "",
		"/sys/devices/virtual/workqueue/cpumask":       "3",
		"/run/rtshield/ledger.json":                    "{}",
	}
	got := takeAt(root, "/run/rtshield/ledger.json", "/run/rtshield/absent")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestOtherProgramsMayMakeCgroupsForOtherControllers(t *testing.T) {
	after := Snapshot{"/sys/fs/cgroup/memory/shell/memory.limit_in_bytes": "1", "/sys/fs/cgroup/cpuset/shell/cpuset.cpus": "0"}
	if got := Diff(Snapshot{}, after); len(got) != 1 || !strings.Contains(got[0], "cpuset.cpus") {
		t.Errorf("v1: %q", got)
	}
	v2 := Snapshot{unifiedRoot: "cpuset"}
	after = Snapshot{unifiedRoot: "cpuset", "/sys/fs/cgroup/memory/shell/memory.max": "1"}
	if got := Diff(v2, after); len(got) != 1 {
		t.Errorf("v2: %q", got)
	}
}

func TestTheHostIsReadQuickly(t *testing.T) {
	begun := time.Now()
	settings := Take()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("%d settings took %v: every test on this host pays that several times", len(settings), took)
	}
	if len(settings) == 0 {
		t.Error("this host has no settings")
	}
}

func TestDiff(t *testing.T) {
	before := Snapshot{"/a": "1", "/b": "2", "/c": "3"}
	after := Snapshot{"/a": "1", "/b": "9", "/d": "4"}
	want := []string{
		`/b: was "2", is "9"`,
		`/c: was "3", is gone`,
		`/d: was not there, is "4"`,
	}
	if got := Diff(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := Diff(before, before); got != nil {
		t.Errorf("equal snapshots differ: %q", got)
	}
}
