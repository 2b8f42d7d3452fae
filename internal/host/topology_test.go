package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/machines"
)

// whole reads all that there is to know of a machine.
func whole(t testing.TB, root host.Root) host.Topology {
	t.Helper()
	topo, err := root.Topology()
	if err := errors.Join(err, root.Cores(&topo, topo.Online), root.Domains(&topo, topo.Online)); err != nil {
		t.Fatal(err)
	}
	return topo
}

func sets(list []cpuset.CPUSet) string {
	var texts []string
	for _, set := range list {
		texts = append(texts, set.String())
	}
	return strings.Join(texts, " ")
}

// Counted where a line would be long; the sets themselves where what is left out matters.
func TestTheTopologyOfRealMachines(t *testing.T) {
	for name, want := range map[string]struct {
		cores, caches, dies, clusters int
		kinds, nodes, distances       string
	}{
		"desktop-hybrid":              {12, 0, 0, 1, "0-15 16-19", "0:0-19", ""},
		"laptop-low-power-island":     {16, 2, 0, 2, "0-11 12-19 20-21", "0:0-21", ""},
		"xeon-two-sockets":            {48, 0, 0, 0, "", "0:0-23,48-71 1:24-47,72-95", "0:map[0:10 1:21] 1:map[0:21 1:10]"},
		"xeon-interleaved":            {40, 0, 0, 0, "", "", "0:map[0:10 1:21] 1:map[0:21 1:10]"},
		"xeon-sub-numa":               {40, 0, 0, 0, "", "", "0:map[0:10 1:11 2:21 3:21]"},
		"epyc-two-sockets":            {128, 32, 0, 0, "", "0:0-63,128-191 1:64-127,192-255", "0:map[0:10 1:32]"},
		"epyc-quadrants":              {32, 16, 0, 0, "", "", ""},
		"epyc-512":                    {256, 32, 16, 0, "", "0:0-127,256-383 1:128-255,384-511", ""},
		"arm-server":                  {128, 0, 0, 32, "", "", "3:map[0:22 1:24 2:12 3:10]"},
		"raspberry-pi":                {4, 0, 0, 0, "", "0:0-3", ""},
		"big-little":                  {8, 0, 0, 3, "4-7 0-3", "0:0-7", ""},
		"big-little-without-clusters": {6, 2, 0, 0, "4-5 0-3", "0:0-5", ""},
		"offline-cpus":                {4, 0, 0, 0, "", "0:0-4,6", ""},
		"one-cpu":                     {1, 0, 0, 0, "", "0:0", ""},
		"smt-off":                     {32, 0, 0, 0, "", "0:0-15 1:16-31", ""},
		"vm-without-topology":         {8, 0, 0, 0, "", "0:0-7", ""},
		"nothing-told":                {6, 0, 0, 0, "", "0:0-5", ""},
		"isolated-at-boot":            {8, 0, 0, 0, "", "0:0-15", ""},
		"power9":                      {44, 22, 0, 0, "", "0:0-87 8:88-175", "0:map[0:10 8:40] 8:map[0:40 8:10]"},
	} {
		topo := whole(t, machines.Tree(t, name))
		got := [4]int{len(topo.Cores), len(topo.Caches), len(topo.Dies), len(topo.Clusters)}
		if got != [4]int{want.cores, want.caches, want.dies, want.clusters} {
			t.Errorf("%s: %v cores, caches, dies, clusters; want %+v", name, got, want)
		}
		if kinds := sets(topo.Kinds); kinds != want.kinds {
			t.Errorf("%s: kinds %q, want %q", name, kinds, want.kinds)
		}
		if nodes := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(topo.Nodes), "map["), "]"); want.nodes != "" && nodes != want.nodes {
			t.Errorf("%s: nodes %q, want %q", name, nodes, want.nodes)
		}
		if distances := fmt.Sprint(topo.Distances); !strings.Contains(distances, want.distances) {
			t.Errorf("%s: distances %q, want %q", name, distances, want.distances)
		}
		covered := cpuset.New()
		for _, core := range topo.Cores {
			if !core.Intersection(covered).IsEmpty() || core.IsEmpty() {
				t.Errorf("%s: core %s among %s", name, core, sets(topo.Cores))
			}
			covered = covered.Union(core)
		}
		if !covered.Equals(topo.Online) {
			t.Errorf("%s: cores of %s, online %s", name, covered, topo.Online)
		}
	}
	if len(machines.Names(t)) < 19 {
		t.Error("a machine is missing")
	}
	if topo := whole(t, machines.Tree(t, "epyc-quadrants")); topo.Memory.String() != "0-1,3" {
		t.Errorf("memory on nodes %s", topo.Memory)
	}
	if topo := whole(t, machines.Tree(t, "offline-cpus")); sets(topo.Cores) != "0,4 1 2,6 3" {
		t.Errorf("with CPUs offline: cores %s", sets(topo.Cores))
	}
}

// opened counts the files that are opened below a directory while do runs.
func opened(t *testing.T, root host.Root, do func()) int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := filepath.WalkDir(string(root), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		_, err = unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	drain := func() (files int) {
		var buffer [1 << 16]byte
		for {
			n, err := unix.Read(fd, buffer[:])
			if err != nil {
				return files
			}
			for at := 0; at < n; {
				event := (*unix.InotifyEvent)(unsafe.Pointer(&buffer[at]))
				if event.Mask&unix.IN_ISDIR == 0 {
					files++
				}
				at += unix.SizeofInotifyEvent + int(event.Len)
			}
		}
	}
	drain() // the walk's own
	do()
	return drain()
}

func TestABigMachineIsNotReadCPUByCPU(t *testing.T) {
	for _, c := range []struct {
		name, pool   string
		light, whole int
	}{
		{"epyc-512", "1-255,257-511", 4, 320}, // a file for each of 256 cores, one for each of 32 caches and 16 dies
		{"epyc-512", "2-5", 4, 25},
		{"arm-server", "1-127", 4, 70}, // no file for each core
		{"smt-off", "1-31", 4, 25},
		{"one-cpu", "", 4, 6},
	} {
		root := machines.Tree(t, c.name)
		pool, err := cpuset.Parse(c.pool)
		if err != nil {
			t.Fatal(err)
		}
		var topo host.Topology
		light := opened(t, root, func() { topo, err = root.Topology() })
		rest := opened(t, root, func() { err = errors.Join(err, root.Cores(&topo, pool), root.Domains(&topo, pool)) })
		if err != nil || light > c.light || light == 0 || light+rest > c.whole {
			t.Errorf("%s: %d files for the layout, %d for a grant out of %s: at most %d and %d (%v)", c.name, light, light+rest, c.pool, c.light, c.whole, err)
		}
		t.Logf("%s, pool %s: %d files for the layout, %d with all for a grant", c.name, c.pool, light, light+rest)
	}
}

func TestADeviceIsOnTheNodeOfTheFirstAboveItThatKnows(t *testing.T) {
	root := machines.Tree(t, "xeon-two-sockets")
	for _, c := range []struct {
		what string
		node func() (int, error)
		want int
		err  error
	}{
		{"eth1", func() (int, error) { return root.NetdevNode("eth1") }, 1, nil},
		{"a bridge", func() (int, error) { return root.NetdevNode("br0") }, -1, host.ErrNoDevice},
		{"eth9", func() (int, error) { return root.NetdevNode("eth9") }, -1, host.ErrNoDevice},
		{"a PCI device", func() (int, error) { return root.PCINode("0000:18:00.0") }, 0, nil},
		{"one whose node is not told", func() (int, error) { return root.PCINode("0000:00:1f.0") }, -1, nil},
	} {
		if node, err := c.node(); node != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: node %d, %v; want %d, %v", c.what, node, err, c.want, c.err)
		}
	}
}
