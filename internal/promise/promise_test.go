package promise

import (
	"os"
	"path/filepath"
	"strconv"
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
		"proc/10/ksm_stat":  "ksm_rmap_items 0\nksm_merge_any: yes\n",
		"proc/10/numa_maps": "55d0 bind:0 file=/bin/web mapped=1\n55e0 default heap\n",
	})
	grant := shield.Grant{
		CPUs: shield.CPUsOf(cpuset.New(4, 5)), Mems: shield.CPUsOf(cpuset.New(0)), Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/web"},
		Memory: shield.Memory{THP: shield.Never, Swap: host.SwapMax, Policy: shield.Bind, KSM: "off"},
	}
	readings := append(CPUs(root, 10, grant), Places(root, 10, grant)...)
	nodes, _ := Nodes(root, grant)
	swap, _ := Swap(root, 10, grant)
	thp, _ := THP(root, 10, grant)
	ksm, _ := KSM(root, 10, grant)
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
		{quota, "cpu.max of", "50% of a CPU (50ms in each 100ms)", false, "/sys/fs/cgroup/web/cpu.max"},
		{ksm, "ksm_merge_any of pid 10", "yes", false, ""},
	} {
		r := c.reading
		if !strings.HasPrefix(r.Where, c.where) || r.Now != c.now || r.Kept() != c.kept || r.File != c.file || r.Err != nil {
			t.Errorf("%d: %+v, want %+v", i, r, c)
		}
	}
}

func TestWhatWasNotPromisedIsNotRead(t *testing.T) {
	root := tree(t, nil)
	for name, read := range map[string]func(host.Root, int, shield.Grant) (Reading, bool){"thp": THP, "ksm": KSM, "swap": Swap, "bound": Bound} {
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

func TestOfADividedContainerTheFirstProcessIsOnTheOrdinaryPart(t *testing.T) {
	stat := func(comm string) string {
		return "10 (" + comm + ") S 1 10 10 0 -1 4194560" + strings.Repeat(" 0", 43) + "\n"
	}
	for name, c := range map[string]struct {
		comm    string
		allowed string
		ruled   bool
		kept    bool
	}{
		"at home":                   {"web", "0", false, true},
		"on the real-time part":     {"web", "1", false, false},
		"on both":                   {"web", "0-1", false, false},
		"a rule is for it":          {"ctl-0", "1", true, true},
		"its program does not run":  {"runc:[2:INIT]", "0", false, true},
		"and it is somewhere else":  {"runc:[2:INIT]", "1", false, false},
		"the rule has another name": {"ct", "1", false, false},
	} {
		root := tree(t, map[string]string{
			"cg/cpuset.cpus": "0-1\n", "cg/cpuset.cpus.effective": "0-1\n",
			"proc/10/stat": stat(c.comm), "proc/10/status": "Name:\t" + c.comm + "\nCpus_allowed_list:\t" + c.allowed + "\n",
		})
		grant := shield.Grant{
			CPUs: shield.CPUsOf(cpuset.New(1)), ExecCPUs: shield.CPUsOf(cpuset.New(0)), Ordinary: shield.CPUsOf(cpuset.New(0)), Mask: "^0",
			Cgroups: shield.Cgroups{Cpuset: "/cg"}, Policy: shield.Other, Starting: "runc:[2:INIT]",
			Threads: []shield.ThreadRule{
				{Name: "ctl-*", Policy: shield.FIFO, Priority: 80, Position: shield.Anywhere}, {Name: "runc*", Policy: shield.FIFO, Priority: 1, Position: shield.Anywhere},
			},
		}
		readings := CPUs(root, 10, grant)
		if Ruled(root, 10, grant) != c.ruled || len(readings) != 3 && !c.ruled || len(readings) != 2 && c.ruled {
			t.Errorf("%s: ruled %v, %+v", name, !c.ruled, readings)
		}
		for i, reading := range readings {
			if kept := i < 2 || c.kept; reading.Kept() != kept {
				t.Errorf("%s: %+v, want kept %v", name, reading, kept)
			}
		}
	}
}

// What a rule gives the first thread, the watcher gives it sooner or later: it is no broken promise of the grant's own policy.
func TestThePolicyOfAFirstThreadWithARuleIsTheRules(t *testing.T) {
	pid := os.Getpid()
	grant := shield.Grant{Policy: shield.FIFO, Priority: 50, Threads: []shield.ThreadRule{{Name: "ctl", Policy: shield.Batch, Position: shield.Anywhere}}}
	for comm, ruled := range map[string]bool{"ctl": true, "web": false} {
		root := tree(t, map[string]string{"proc/" + strconv.Itoa(pid) + "/stat": "7 (" + comm + ") S 1" + strings.Repeat(" 0", 48) + "\n"})
		now, want, err := Policy(root, pid, grant)
		if err != nil || (now == want) != ruled || !ruled && want != Attr(grant) {
			t.Errorf("%s: %+v, want %+v: %v", comm, now, want, err)
		}
	}
}

func TestTheQuotaIsToBeTheGrants(t *testing.T) {
	half := shield.Share{Quota: 50000, Period: 100000}
	burst := shield.Share{Quota: 50000, Period: 100000, Burst: 20000}
	v1 := "31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	for name, c := range map[string]struct {
		files map[string]string
		share shield.Share
		kept  bool
		now   string
	}{
		"none, v2":             {map[string]string{"cpu.max": "max 100000"}, shield.Share{}, true, "no bound"},
		"none, another period": {map[string]string{"cpu.max": "max 50000"}, shield.Share{}, true, "no bound"},
		"one of somebody, v2":  {map[string]string{"cpu.max": "50000 100000"}, shield.Share{}, false, "50% of a CPU (50ms in each 100ms)"},
		"asked for, v2":        {map[string]string{"cpu.max": "50000 100000"}, half, true, "50% of a CPU (50ms in each 100ms)"},
		"lifted, v2":           {map[string]string{"cpu.max": "max 100000"}, half, false, "no bound"},
		"another, v2":          {map[string]string{"cpu.max": "20000 100000"}, half, false, "20% of a CPU (20ms in each 100ms)"},
		"same part, v2":        {map[string]string{"cpu.max": "5000 10000"}, half, false, "50% of a CPU (5ms in each 10ms)"},
		"burst, v2":            {map[string]string{"cpu.max": "50000 100000", "cpu.max.burst": "20000"}, burst, true, "50% of a CPU (50ms in each 100ms, and 20ms more of what was left before)"},
		"burst lost, v2":       {map[string]string{"cpu.max": "50000 100000", "cpu.max.burst": "0"}, burst, false, "50% of a CPU (50ms in each 100ms)"},
		"none, v1":             {map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, shield.Share{}, true, "no bound"},
		"asked for, v1":        {map[string]string{"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}, half, true, "50% of a CPU (50ms in each 100ms)"},
		"lifted, v1":           {map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, half, false, "no bound"},
		"burst of others, v1":  {map[string]string{"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "20000"}, half, false, "50% of a CPU (50ms in each 100ms, and 20ms more of what was left before)"},
	} {
		dir, file, files := "/sys/fs/cgroup/web", "cpu.max", map[string]string{"proc/10/cgroup": "0::/web\n", "proc/self/mountinfo": mountinfo}
		if strings.HasSuffix(name, "v1") {
			dir, file = "/sys/fs/cgroup/cpu/web", "cpu.cfs_quota_us"
			files = map[string]string{"proc/10/cgroup": "1:cpu:/web\n0::/\n", "proc/self/mountinfo": mountinfo + v1}
		}
		for file, text := range c.files {
			files[dir+"/"+file] = text + "\n"
		}
		root, grant := tree(t, files), shield.Grant{Share: c.share}
		if c.share.Limited() {
			grant.Cgroups.CPU = dir
		}
		quota, _, ok := Quota(root, 10, grant)
		if !ok || quota.Err != nil || quota.Kept() != c.kept || quota.Now != c.now || quota.File != filepath.Join(dir, file) {
			t.Errorf("%s: %v, %+v", name, ok, quota)
		}
	}
}

// Its program, or somebody, took the process elsewhere.
func TestTheQuotaIsReadWhereItWasSet(t *testing.T) {
	root := tree(t, map[string]string{
		"sys/fs/cgroup/web/cpu.max": "50000 100000\n", "sys/fs/cgroup/other/cpu.max": "max 100000\n", "proc/10/cgroup": "0::/other\n", "proc/self/mountinfo": mountinfo,
	})
	grant := shield.Grant{Share: shield.Share{Quota: 50000, Period: 100000}, Cgroups: shield.Cgroups{Cpuset: "/set", CPU: "/sys/fs/cgroup/web"}}
	if quota, _, ok := Quota(root, 10, grant); !ok || !quota.Kept() {
		t.Errorf("%+v", quota)
	}
	if places := Places(root, 10, grant); len(places) != 2 || places[1].Kept() || places[1].Want != "/sys/fs/cgroup/web" || places[1].Now != "/sys/fs/cgroup/other" {
		t.Errorf("%+v", places)
	}
	grant.Cgroups.Cpuset = grant.Cgroups.CPU // as on cgroup v2
	if places := Places(root, 10, grant); len(places) != 1 {
		t.Errorf("%+v", places)
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
