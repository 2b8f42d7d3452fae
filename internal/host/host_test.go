package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree makes a host out of path → text.
func tree(t *testing.T, files map[string]string) Root {
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
	return Root(dir)
}

func TestTopology(t *testing.T) {
	cpu := "sys/devices/system/cpu/"
	node := "sys/devices/system/node/"
	root := tree(t, map[string]string{
		cpu + "online": "0-3,5\n", cpu + "isolated": "2\n", cpu + "nohz_full": "  (null)\n",
		cpu + "cpu0/topology/thread_siblings_list": "0,2\n", cpu + "cpu2/topology/thread_siblings_list": "0,2\n",
		cpu + "cpu1/topology/thread_siblings_list": "1,3\n", cpu + "cpu3/topology/thread_siblings_list": "1,3\n",
		cpu + "cpu5/topology/thread_siblings_list": "4-5\n", // its sibling is offline
		node + "node0/cpulist":                     "0-3\n", node + "node1/cpulist": "4-5\n", node + "node2/cpulist": "\n", node + "possible": "0-2\n",
	})
	topo, err := root.Topology()
	if err := errors.Join(err, root.Cores(&topo, topo.Online)); err != nil {
		t.Fatal(err)
	}
	if topo.Online.String() != "0-3,5" || topo.Isolated.String() != "2" {
		t.Errorf("online %s isolated %s", topo.Online, topo.Isolated)
	}
	if len(topo.Cores) != 3 || topo.Cores[0].String() != "0,2" || topo.Cores[1].String() != "1,3" || topo.Cores[2].String() != "5" {
		t.Errorf("cores %v", topo.Cores)
	}
	if len(topo.Nodes) != 2 || topo.Nodes[0].String() != "0-3" || topo.Nodes[1].String() != "5" {
		t.Errorf("nodes %v", topo.Nodes)
	}
}

func TestTopologyWithoutNUMA(t *testing.T) {
	root := tree(t, map[string]string{"sys/devices/system/cpu/online": "0-1\n"})
	topo, err := root.Topology()
	if err := errors.Join(err, root.Cores(&topo, topo.Online), root.Domains(&topo, topo.Online)); err != nil || topo.Nodes[0].String() != "0-1" || len(topo.Cores) != 2 {
		t.Errorf("%+v %v", topo, err)
	}
}

func TestController(t *testing.T) {
	const hybridMounts = "25 22 0:21 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"26 22 0:22 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" +
		"27 22 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for _, c := range []struct {
		name, mounts, cgroup, controller string
		dir, mount                       string
		unified, found                   bool
	}{
		{"v2", "30 22 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/system.slice/docker-1.scope\n", "cpuset",
			"/sys/fs/cgroup/system.slice/docker-1.scope", "/sys/fs/cgroup", true, true},
		{"v1 hybrid", hybridMounts, "3:cpuset:/docker/1\n2:cpu,cpuacct:/a\n0::/x\n", "cpuset", "/sys/fs/cgroup/cpuset/docker/1", "/sys/fs/cgroup/cpuset", false, true},
		{"v1 joint controllers", hybridMounts, "3:cpuset:/docker/1\n2:cpu,cpuacct:/a\n0::/x\n", "cpu", "/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/cpu,cpuacct", false, true},
		{"a path with a colon", hybridMounts, "3:cpuset:/a:b\n", "cpuset", "/sys/fs/cgroup/cpuset/a:b", "/sys/fs/cgroup/cpuset", false, true},
		{"only a subtree is mounted", "30 22 0:24 /pods /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/pods/p1\n", "cpuset", "/sys/fs/cgroup/p1", "/sys/fs/cgroup", true, true},
		{"none", "", "3:memory:/\n", "cpuset", "", "", false, false},
	} {
		root := tree(t, map[string]string{"proc/self/mountinfo": c.mounts, "proc/7/cgroup": c.cgroup})
		place, found, err := root.Controller(7, c.controller)
		if err != nil || found != c.found || place.Dir != c.dir || place.Mount != c.mount || place.Unified != c.unified {
			t.Errorf("%s: %+v %v %v", c.name, place, found, err)
		}
	}
	root := tree(t, map[string]string{"proc/self/mountinfo": "30 22 0:24 /pods /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "proc/7/cgroup": "0::/other\n"})
	if _, _, err := root.Controller(7, "cpuset"); err == nil {
		t.Error("a cgroup outside of the mount was found")
	}
}

func TestAliveLooksAtTheStartTime(t *testing.T) {
	stat := func(state string) string {
		return "7 (a) b) " + state + " 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0\n"
	}
	root := tree(t, map[string]string{"proc/7/stat": stat("S"), "proc/7/task/7/x": ""})
	if start, err := root.StartTime(7); err != nil || start != 4242 {
		t.Errorf("start %d %v", start, err)
	}
	if !root.Alive(7, 4242) || root.Alive(7, 4243) || root.Alive(8, 4242) {
		t.Error("alive is not what it should be")
	}
	root = tree(t, map[string]string{"proc/7/stat": stat("Z"), "proc/7/task/7/x": ""})
	if root.Alive(7, 4242) {
		t.Error("a zombie lives")
	}
	root = tree(t, map[string]string{"proc/7/stat": stat("Z"), "proc/7/task/7/x": "", "proc/7/task/9/x": ""})
	if !root.Alive(7, 4242) {
		t.Error("its first thread has ended, but others run")
	}
	if !System.Alive(os.Getpid(), must(System.StartTime(os.Getpid()))) {
		t.Error("we are not alive")
	}
}

func must(start uint64, err error) uint64 {
	if err != nil {
		panic(err)
	}
	return start
}

func TestAProcessBelowACgroupIsFoundBehindItsFiles(t *testing.T) {
	root := tree(t, map[string]string{
		"cg/cgroup.procs": "", "cg/cgroup.type": "domain\n", "cg/init.scope/cgroup.procs": "7\n0\n", "cg/other/cgroup.procs": "9\n",
	})
	if !root.CgroupPopulated("cg") {
		t.Error("it looks empty")
	}
	if pids := root.CgroupProcesses("cg"); !slices.Equal(pids, []int{7, 9}) {
		t.Errorf("processes %v", pids)
	}
	if root.CgroupPopulated("gone") || root.CgroupProcesses("gone") != nil {
		t.Error("a directory that is gone has processes")
	}
}

// A directory in a file's place stands for what cannot be read.
func TestWhatCannotBeLookedAtIsNotDead(t *testing.T) {
	root := tree(t, map[string]string{"proc/7/stat/x": "", "cg/cgroup.procs/x": ""})
	if !root.Alive(7, 4242) {
		t.Error("a process whose stat cannot be read counts as dead")
	}
	if !root.CgroupPopulated("cg") || root.CgroupProcesses("cg") != nil {
		t.Errorf("a cgroup that cannot be read counts as empty, or has %v", root.CgroupProcesses("cg"))
	}
}

func TestAMarkStaysOnItsDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may set trusted.*")
	}
	root := tree(t, map[string]string{"cg/cgroup.procs": ""})
	if text, err := root.CgroupMark("cg"); text != "" || err != nil {
		t.Errorf("it begins with %q, %v", text, err)
	}
	for _, text := range []string{"/run/rtshield", ""} {
		err := root.MarkCgroup("cg", text)
		if now, errRead := root.CgroupMark("cg"); err != nil || errRead != nil || now != text {
			t.Errorf("%q became %q, %v, %v", text, now, err, errRead)
		}
	}
}
