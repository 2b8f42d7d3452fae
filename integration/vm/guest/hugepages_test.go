//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"testing"
)

// reserves is a class whose containers have huge pages reserved; in class fifo they take what is free.
const reserves = "[class.reserve]\npolicy = \"fifo\"\nhugepages = \"reserve\"\nmax_hugepages = \"2Mi=8, 1Gi=1\"\n"

func poolOf(node int, file string) string {
	return fmt.Sprintf("/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/%s_hugepages", node, file)
}

// pools waits until the nodes have so many huge pages of 2Mi, and so many free ones.
func (r *rig) pools(when string, want string) {
	r.Helper()
	r.eventually(func() error {
		now := ""
		for node := range 2 {
			now += fmt.Sprintf("node %d: %s, %s free; ", node, text(r, poolOf(node, "nr")), text(r, poolOf(node, "free")))
		}
		if now != want {
			return fmt.Errorf("%s: %s want %s", when, now, want)
		}
		return nil
	})
}

// fills takes so many huge pages of 2Mi and sleeps.
func fills(pages int) edit {
	return args("/bin/sh", "-c", fmt.Sprintf("/bin/busybox fallocate -l %d /dev/hugepages-2Mi/x && exec /bin/sleep 600", pages<<21))
}

// reserve takes huge pages of a node. A kernel that has run for a while finds so many in one piece only when it has tidied up.
func (r *rig) reserve(node, pages int) {
	r.Helper()
	r.eventually(func() error {
		for _, file := range []string{"drop_caches", "compact_memory"} {
			if err := os.WriteFile("/proc/sys/vm/"+file, []byte("1"), 0); err != nil {
				r.Log(err) // a kernel need not be able to compact
			}
		}
		if err := os.WriteFile(poolOf(node, "nr"), fmt.Append(nil, pages), 0); err != nil {
			return err
		}
		if now := text(r, poolOf(node, "nr")); now != fmt.Sprint(pages) {
			return fmt.Errorf("node %d has memory for %s huge pages, not for %d", node, now, pages)
		}
		return nil
	})
}

func TestHugePagesAreThoseOfTheGrantsNodeAndGoBackInAnyOrder(t *testing.T) {
	shownOn(t, "6.1", "6.12")
	onRunc(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: here only one node has CPUs to grant")
		}
		r.classes(reserves)
		topo := topology(r)
		on := func(node int) edit { // a CPU that nobody has
			return annotate("cpuset", fmt.Sprint(r.status().Free.Intersection(topo.Nodes[node]).List()[0]))
		}
		// What is free is on node 1: the CPUs follow, and no page of another node is taken.
		r.reserve(1, 4)
		defer os.WriteFile(poolOf(1, "nr"), []byte("0"), 0)
		r.begin("run", "a", class("fifo"), annotate("hugepages", "2Mi=3"), fills(3))
		if grant := r.grant("a"); grant.Mems.String() != "1" || !grant.CPUs.IsSubsetOf(topo.Nodes[1]) {
			r.Errorf("CPU %s, memory node %s; the pages are on node 1", grant.CPUs, grant.Mems)
		}
		r.pools("a has its pages", "node 0: 0, 0 free; node 1: 4, 1 free; ")
		r.must(r.oci("exec", "a", "/bin/sh", "-c", "/bin/busybox fallocate -l 6291456 /dev/hugepages-2Mi/x"))
		if result := r.oci("exec", "a", "/bin/sh", "-c", "/bin/busybox fallocate -l 2097152 /dev/hugepages-2Mi/y"); result.code == 0 {
			r.Error("a fourth page was to be had")
		}

		// Short by one, on each node.
		for node, where := range map[int]string{0: "memory node 0", 1: "memory node 1"} {
			_, result := r.try("create", "b", r.bundle("b", class("fifo"), annotate("hugepages", "2Mi=2"), on(node)))
			r.contains("short by one", result.stderr, "asks for 2 huge pages of 2Mi", where, "(node 0: 0 free; node 1: 1 free)", "reserve more there")
		}
		// More than node 0 has memory: said by the hook, and all goes back.
		_, result := r.try("create", "b", r.bundle("b", class("reserve"), annotate("hugepages", "1Gi=1"), on(0)))
		r.contains("too much", result.stderr, "huge pages in /sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages", "found memory for 0")
		r.oci("delete", "--force", "b")
		r.pools("after what was refused", "node 0: 0, 0 free; node 1: 4, 1 free; ")

		// Two share node 1's pool and come and go in either order; the first takes the page that is free.
		for _, first := range []string{"b", "c"} {
			r.begin("run", "b", class("reserve"), annotate("hugepages", "2Mi=3"), on(1), fills(3))
			r.pools("with b", "node 0: 0, 0 free; node 1: 6, 0 free; ")
			r.begin("run", "c", class("reserve"), annotate("hugepages", "2Mi=2"), on(0), fills(2))
			r.pools("with c on the other node", "node 0: 2, 0 free; node 1: 6, 0 free; ")
			r.end("c")
			if first == "c" {
				r.end("b")
				break
			}
			r.end("a")
			r.begin("run", "c", class("reserve"), annotate("hugepages", "2Mi=4"), on(1), fills(4))
			r.pools("with c, which takes what a had", "node 0: 0, 0 free; node 1: 7, 0 free; ")
			r.end("b")
			r.pools("b has gone first", "node 0: 0, 0 free; node 1: 5, 1 free; ")
			r.end("c")
			r.pools("and c", "node 0: 0, 0 free; node 1: 4, 4 free; ")
			r.begin("run", "a", class("fifo"), annotate("hugepages", "2Mi=3"), fills(3))
		}
		r.end("a")
		r.pools("when all are gone", "node 0: 0, 0 free; node 1: 4, 4 free; ")
	})
}

func TestTheLimitOnHugePagesIsTheContainersOwn(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		r.classes(reserves)
		r.begin("run", "a", class("reserve"), annotate("hugepages", "2Mi=2"), fills(2))
		file, dir := "hugetlb.2MB.max", mount
		if !unified() {
			file, dir = "hugetlb.2MB.limit_in_bytes", mount+"/hugetlb"
		}
		r.reads("while it runs", dir+parent+"/a/"+file, "4194304")
		r.end("a")
		r.asBefore("after delete")
	})
}

// Pages that are in use when their pool is made smaller are surplus. As long as there are some, 6.1 and 6.12 cannot empty another
// node's pool: it is given back once they have gone.
func TestSurplusPagesOfAnotherNodeMakeNoPoolLarger(t *testing.T) {
	shownOn(t, "6.1", "6.12")
	once(t, func(r *rig) {
		r.classes(reserves)
		dir := r.dir + "/huge"
		r.must(r.program("/bin/mkdir", dir))
		r.must(r.program("/bin/mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", dir))
		defer r.program("/bin/umount", dir)
		set := func(pages string) {
			if err := os.WriteFile(poolOf(0, "nr"), []byte(pages), 0); err != nil {
				r.Fatal(err)
			}
		}
		set("2")
		r.must(r.program("/bin/fallocate", "-l", "4194304", dir+"/x"))
		set("0")
		r.reads("in use by the host", poolOf(0, "surplus"), "2")
		r.begin("run", "a", class("reserve"), annotate("hugepages", "2Mi=3"), annotate("cpuset", "6"))
		r.pools("beside them", "node 0: 2, 0 free; node 1: 3, 3 free; ")
		r.end("a")
		r.reads("after delete", poolOf(1, "surplus"), "0")
		if err := os.Remove(dir + "/x"); err != nil {
			r.Fatal(err)
		}
		r.must(r.command("reconcile"))
		r.pools("when all are gone", "node 0: 0, 0 free; node 1: 0, 0 free; ")
	})
}
