package promise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// tree makes a host with these files.
func tree(t *testing.T, files map[string]string) host.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(dir)
}

const mountinfo = "30 1 0:26 / /sys/fs/cgroup rw shared:1 - cgroup2 cgroup2 rw\n"

func TestWhatAContainerHasIsReadFromItsCgroupAndItsFirstProcess(t *testing.T) {
	root := tree(t, map[string]string{
		"sys/fs/cgroup/web/cpuset.cpus": "4-5\n", "sys/fs/cgroup/web/cpuset.cpus.effective": "4\n", "sys/fs/cgroup/web/cpuset.mems": "0-1\n",
		"sys/fs/cgroup/web/memory.swap.max": "max\n", "sys/fs/cgroup/web/cpu.max": "50000 100000\n",
		"sys/fs/cgroup/web/cpu.stat": "usage_usec 9\nnr_periods 9\nnr_throttled 7\nthrottled_usec 1\n",
		"proc/10/cgroup":             "0::/web\n", "proc/self/mountinfo": mountinfo,
		"proc/10/status":    "Name:\tweb\nCpus_allowed_list:\t4-5\nTHP_enabled:\t1\n",
		"proc/10/numa_maps": "55d0 bind:0 file=/bin/web mapped=1\n55e0 default heap\n",
	})
	grant := shield.Grant{
		CPUs: shield.CPUsOf(cpuset.New(4, 5)), Mems: shield.CPUsOf(cpuset.New(0)), Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/web"},
		Memory: shield.Memory{THP: shield.Never, Swap: host.SwapMax, Policy: shield.Bind},
	}
	readings := append(CPUs(root, 10, grant), Places(root, 10, grant)...)
	nodes, _ := Nodes(root, grant)
	swap, _ := Swap(root, 10, grant)
	thp, _ := THP(root, 10, grant)
	bound, _ := Bound(root, 10, grant)
	quota, throttled, _ := Quota(root, 10, grant)
	if throttled != "7" {
		t.Errorf("throttled %q times", throttled)
	}
	for i, c := range []struct {
		reading Reading
		where   string
		now     string
		kept    bool
		file    string
	}{
		{readings[0], "cpuset.cpus of /sys/fs/cgroup/web", "4-5", true, "/sys/fs/cgroup/web/cpuset.cpus"},
		{readings[1], "the effective cpuset of", "4", false, ""},
		{readings[2], "Cpus_allowed_list of pid 10", "4-5", true, ""},
		{readings[3], "the cgroup of pid 10", "/sys/fs/cgroup/web", true, "/sys/fs/cgroup/web/cgroup.procs"},
		{nodes, "cpuset.mems of", "0-1", false, "/sys/fs/cgroup/web/cpuset.mems"},
		{swap, "memory.swap.max of /sys/fs/cgroup/web", "max", false, "/sys/fs/cgroup/web/memory.swap.max"},
		{thp, "THP_enabled", "1", false, ""},
		{bound, "the memory policy", "bind:0", true, ""},
		{quota, "cpu.max of", "50000", false, "/sys/fs/cgroup/web/cpu.max"},
	} {
		r := c.reading
		if !strings.HasPrefix(r.Where, c.where) || r.Now != c.now || r.Kept() != c.kept || r.File != c.file || r.Err != nil {
			t.Errorf("%d: %+v, want %+v", i, r, c)
		}
	}
}

func TestWhatWasNotPromisedIsNotRead(t *testing.T) {
	root := tree(t, nil)
	for name, read := range map[string]func(host.Root, int, shield.Grant) (Reading, bool){"thp": THP, "swap": Swap, "bound": Bound} {
		if reading, promised := read(root, 10, shield.Grant{}); promised {
			t.Errorf("%s: %+v", name, reading)
		}
	}
	if reading, promised := Nodes(root, shield.Grant{Pinned: true, Mems: shield.CPUsOf(cpuset.New(0))}); promised {
		t.Errorf("%+v", reading)
	}
	if readings := Cpuset(root, shield.Grant{Pinned: true}); readings != nil {
		t.Errorf("%+v", readings)
	}
}

func TestAProcessThatIsInAnotherCgroupOrGoneIsNotKept(t *testing.T) {
	root := tree(t, map[string]string{"proc/10/cgroup": "0::/web2\n", "proc/11/cgroup": "0::/web/init.scope\n", "proc/self/mountinfo": mountinfo})
	grant := shield.Grant{Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/web"}}
	for pid, kept := range map[int]bool{10: false, 11: true, 12: false} {
		if reading := Places(root, pid, grant)[0]; reading.Kept() != kept || (reading.Err != nil) != (pid == 12) {
			t.Errorf("pid %d: %+v", pid, reading)
		}
	}
}
