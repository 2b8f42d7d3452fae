// Package hugepages reads and sizes the kernel's pools of huge pages (Documentation/admin-guide/mm/hugetlbpage.rst). Sizes are
// in bytes.
package hugepages

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
)

const (
	all   = "sys/kernel/mm/hugepages"
	nodes = "sys/devices/system/node"
)

// Dir is where the pool of a node is, as an absolute path. A kernel without NUMA has one pool of each size, and no nodes.
func Dir(root host.Root, node int, size uint64) string {
	pool := fmt.Sprintf("hugepages-%dkB", size>>10)
	if _, err := root.List(nodes); errors.Is(err, fs.ErrNotExist) {
		return filepath.Join("/", all, pool)
	}
	return filepath.Join("/", nodes, "node"+strconv.Itoa(node), "hugepages", pool)
}

// Sizes lists those that the kernel has, in no order. None without CONFIG_HUGETLB_PAGE.
func Sizes(root host.Root) ([]uint64, error) {
	names, err := root.List(all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var sizes []uint64
	for _, name := range names {
		var kB uint64
		if n, _ := fmt.Sscanf(name, "hugepages-%dkB", &kB); n == 1 {
			sizes = append(sizes, kB<<10)
		}
	}
	return sizes, err
}

// Nodes lists the memory nodes that have pools, in no order: 0 on a kernel without NUMA.
func Nodes(root host.Root) ([]int, error) {
	names, err := root.List(nodes)
	if errors.Is(err, fs.ErrNotExist) {
		return []int{0}, nil
	}
	var numbers []int
	for _, name := range names {
		if number, err := strconv.Atoi(strings.TrimPrefix(name, "node")); err == nil && strings.HasPrefix(name, "node") {
			numbers = append(numbers, number)
		}
	}
	return numbers, err
}

// Free counts the pages of a pool that nothing is in. fs.ErrNotExist: the node has no such pool.
func Free(root host.Root, node int, size uint64) (int64, error) {
	return number(root, node, size, "free_hugepages")
}

// Reserved is the size of a pool, without surplus pages: those go by themselves once they are free, as do those in use of a
// pool that was made smaller.
func Reserved(root host.Root, node int, size uint64) (int64, error) {
	pages, err := number(root, node, size, "nr_hugepages")
	if err != nil {
		return 0, err
	}
	surplus, err := number(root, node, size, "surplus_hugepages")
	return pages - surplus, err
}

// Reserve gives a pool this size, as far as there is memory that hangs together: nothing is said where there is less.
//
// Surplus pages of other nodes confuse the kernel. 6.1 takes them for this node's: the pool gets as much larger, and is right
// when it is told so many less. 6.12 counts on pages of this node for them, and makes these surplus though nothing is in them: they
// would never go. (7.2 does neither.) Pages that cannot be given back for that stay in the pool, with unix.EBUSY.
func Reserve(root host.Root, node int, size uint64, pages int64) error {
	file := filepath.Join(Dir(root, node, size), "nr_hugepages")
	write := func(pages int64) error { return root.Write(strconv.FormatInt(pages, 10), file) }
	before, err := emptySurplus(root, node, size)
	if err == nil {
		err = write(pages)
	}
	if err != nil {
		return err
	}
	now, errNow := Reserved(root, node, size)
	after, errAfter := emptySurplus(root, node, size)
	extra, lost := now-pages, after-before
	switch err := errors.Join(errNow, errAfter); {
	case err != nil:
		return err
	case extra > 0 && extra <= pages:
		return write(pages - extra)
	case lost > 0:
		err = write(pages + lost) // the pool's own again
		fallthrough
	case extra > 0:
		return errors.Join(err, fmt.Errorf("the kernel keeps %d for surplus pages of other nodes: %w", max(extra, lost), unix.EBUSY))
	}
	return nil
}

// emptySurplus counts surplus pages that nothing is in. What programs have mapped and not touched is among them.
func emptySurplus(root host.Root, node int, size uint64) (int64, error) {
	var counts [3]int64
	for i, file := range []string{"surplus_hugepages", "nr_hugepages", "free_hugepages"} {
		var err error
		if counts[i], err = number(root, node, size, file); err != nil {
			return 0, err
		}
	}
	return max(counts[0]-(counts[1]-counts[2]), 0), nil
}

func number(root host.Root, node int, size uint64, file string) (int64, error) {
	text, err := root.Read(Dir(root, node, size), file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// Control is the hugetlb controller of a process: the directory of its cgroup, and whether it is cgroup v2's.
type Control struct {
	Dir     string
	Unified bool
}

// Controller finds it. found is false where containers have none: beside cgroup v1 nobody uses that of v2.
func Controller(root host.Root, pid int) (control Control, found bool, err error) {
	place, found, err := root.Controller(pid, "hugetlb")
	if err != nil || !found {
		return control, false, err
	}
	control = Control{place.Dir, place.Unified}
	if !place.Unified {
		return control, true, nil
	}
	controllers, err := root.Read(place.Mount, "cgroup.controllers")
	return control, place.Mount == "/sys/fs/cgroup" && hasWord(controllers, "hugetlb"), err
}

func hasWord(text, word string) bool {
	for field := range strings.FieldsSeq(text) {
		if field == word {
			return true
		}
	}
	return false
}

// Limit is what a cgroup may have in use of a size, in bytes.
func (c Control) Limit(root host.Root, size uint64) (uint64, error) {
	file := "limit_in_bytes"
	if c.Unified {
		file = "max"
	}
	text, err := root.Read(c.Dir, "hugetlb."+Name(size)+"."+file)
	if err != nil || text == "max" {
		return host.Unlimited, err
	}
	return strconv.ParseUint(text, 10, 64)
}

// Used counts the pages that a cgroup has in use, by node (Linux 5.17). fs.ErrNotExist: the kernel does not count.
func (c Control) Used(root host.Root, size uint64) (map[int]int64, error) {
	text, err := root.Read(c.Dir, "hugetlb."+Name(size)+".numa_stat")
	if err != nil {
		return nil, err
	}
	// The last line has what is below the cgroup too: "total=4194304 N0=4194304 N1=0".
	used := map[int]int64{}
	for field := range strings.FieldsSeq(text[strings.LastIndexByte(text, '\n')+1:]) {
		var node int
		var bytes int64
		if n, _ := fmt.Sscanf(field, "N%d=%d", &node, &bytes); n == 2 {
			used[node] = bytes / int64(size)
		}
	}
	return used, nil
}

// Name writes a size as cgroups and config.json have it: 2MB.
func Name(size uint64) string {
	switch {
	case size >= 1<<30:
		return fmt.Sprint(size>>30, "GB")
	case size >= 1<<20:
		return fmt.Sprint(size>>20, "MB")
	}
	return fmt.Sprint(size>>10, "KB")
}

// Default is the size of a hugetlbfs that is mounted without one.
func Default(root host.Root) uint64 {
	text, _ := root.Read("proc/meminfo")
	for line := range strings.Lines(text) {
		var kB uint64
		if n, _ := fmt.Sscanf(line, "Hugepagesize: %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	return 0
}

// Mounted is the size of the pages of the hugetlbfs that a path is on, 0 for another file system.
func Mounted(root host.Root, path string) uint64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(root.Path(path), &stat); err != nil || stat.Type != unix.HUGETLBFS_MAGIC {
		return 0
	}
	return uint64(stat.Bsize)
}
