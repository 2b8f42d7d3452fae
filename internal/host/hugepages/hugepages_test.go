package hugepages

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func tree(t *testing.T, files map[string]string) host.Root {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(root)
}

func pools(dir, nr, free, surplus string) map[string]string {
	return map[string]string{dir + "/nr_hugepages": nr, dir + "/free_hugepages": free, dir + "/surplus_hugepages": surplus}
}

func TestAPoolIsItsNodesOrTheHostsWithoutNUMA(t *testing.T) {
	files := pools("sys/devices/system/node/node1/hugepages/hugepages-2048kB", "5", "3", "1")
	files["sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"] = "9"
	files["sys/devices/system/node/has_memory"] = "1"
	numa := tree(t, files)
	small := tree(t, pools("sys/kernel/mm/hugepages/hugepages-64kB", "5", "3", "0"))
	for _, c := range []struct {
		root     host.Root
		node     int
		size     uint64
		nodes    []int
		reserved int64
	}{{numa, 1, 2 << 20, []int{1}, 4}, {small, 0, 64 << 10, []int{0}, 5}} {
		sizes, errSizes := Sizes(c.root)
		nodes, errNodes := Nodes(c.root)
		free, errFree := Free(c.root, c.node, c.size)
		reserved, errReserved := Reserved(c.root, c.node, c.size)
		if err := errors.Join(errSizes, errNodes, errFree, errReserved); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sizes, []uint64{c.size}) || !slices.Equal(nodes, c.nodes) || free != 3 || reserved != c.reserved {
			t.Errorf("sizes %v, nodes %v, %d free of %d", sizes, nodes, free, reserved)
		}
	}
	if _, err := Free(numa, 0, 2<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a node without memory: %v", err)
	}
	if sizes, err := Sizes(tree(t, nil)); err != nil || len(sizes) > 0 {
		t.Errorf("a kernel without huge pages has %v, %v", sizes, err)
	}
	if err := Reserve(small, 0, 64<<10, 8); err != nil {
		t.Error(err)
	}
	if now, err := Reserved(small, 0, 64<<10); now != 8 || err != nil {
		t.Errorf("%d pages, %v", now, err)
	}
}

func TestACgroupTellsWhatItMayHaveAndWhatItHas(t *testing.T) {
	root := tree(t, map[string]string{
		"v2/hugetlb.2MB.max": "max", "v2/hugetlb.2MB.numa_stat": "total=6291456 N0=4194304 N1=2097152",
		"v1/hugetlb.1GB.limit_in_bytes": "2147483648", "v1/hugetlb.1GB.numa_stat": "total=0 N0=0 N1=0\nhierarchical_total=1073741824 N0=0 N1=1073741824",
	})
	for _, c := range []struct {
		control Control
		size    uint64
		limit   uint64
		used    map[int]int64
	}{
		{Control{"/v2", true}, 2 << 20, host.Unlimited, map[int]int64{0: 2, 1: 1}},
		{Control{"/v1", false}, 1 << 30, 2 << 30, map[int]int64{0: 0, 1: 1}},
	} {
		limit, errLimit := c.control.Limit(root, c.size)
		used, errUsed := c.control.Used(root, c.size)
		if err := errors.Join(errLimit, errUsed); err != nil || limit != c.limit || !reflect.DeepEqual(used, c.used) {
			t.Errorf("%v: limit %d, used %v, %v", c.control, limit, used, err)
		}
	}
}

func TestSizesAreWrittenAsCgroupsHaveThem(t *testing.T) {
	for size, want := range map[uint64]string{64 << 10: "64KB", 2 << 20: "2MB", 512 << 20: "512MB", 1 << 30: "1GB", 16 << 30: "16GB"} {
		if got := Name(size); got != want {
			t.Errorf("%d is %q, want %q", size, got, want)
		}
	}
	if size := Default(tree(t, map[string]string{"proc/meminfo": "MemTotal: 1 kB\nHugepagesize:       2048 kB"})); size != 2<<20 {
		t.Errorf("the default size is %d", size)
	}
}
