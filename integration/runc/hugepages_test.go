package runc_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

const (
	pool     = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/"
	freePool = pool + "free_hugepages"
	allPool  = pool + "nr_hugepages"
)

// reserving lets containers have pages reserved at run time.
const reserving = "[class.fifo]\nhugepages = \"reserve\"\nmax_hugepages = \"2Mi=8\"\n"

// withPages is rig.EachWith on a host whose pool has so many huge pages of 2Mi.
func withPages(t *testing.T, pages int, options testhost.Options, test func(r *rig.Rig)) {
	t.Helper()
	rig.EachRunc(t, func(t *testing.T, runc string) {
		testhost.HostUnchanged(t)
		before := testhost.Read(t, allPool)
		if before != "0" {
			t.Fatalf("these tests want to know who uses huge pages, and this host has %s", before)
		}
		set := func(pages string) {
			if err := os.WriteFile(allPool, []byte(pages), 0); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { set(before) })
		set(strconv.Itoa(pages))
		r := rig.New(t, runc, options)
		if free := r.Number(freePool); free != int64(pages) {
			t.Fatalf("this host has no memory for %d huge pages: %d are free", pages, free)
		}
		test(r)
	})
}

// fills is a container that takes so many huge pages of 2Mi as a file on its hugetlbfs, and sleeps.
func fills(pages int) rig.Edit {
	return rig.Args("/bin/sh", "-c", fmt.Sprintf("/bin/busybox fallocate -l %d /dev/hugepages-2Mi/x && exec /bin/busybox sleep 60", pages<<21))
}

// pages waits until the pool has so many pages, of which so many are free.
func pages(r *rig.Rig, when string, all, free int64) {
	r.Helper()
	r.Eventual(func() error {
		if nowAll, nowFree := r.Number(allPool), r.Number(freePool); nowAll != all || nowFree != free {
			return fmt.Errorf("%s: the pool has %d pages, %d of them free; want %d, %d", when, nowAll, nowFree, all, free)
		}
		return nil
	})
}

func TestHugePagesAreGrantedAndShortByOneIsRefused(t *testing.T) {
	withPages(t, 4, testhost.Options{}, func(r *rig.Rig) {
		refusedWhole(r, "short by one", "json", r.Rtshield, r.Bundle("a", with("fifo", "hugepages", "2Mi=5")...),
			"asks for 5 huge pages of 2Mi", "memory node 0 next to its CPU 1 has 4 to give (node 0: 4 free)", "reserve more there", "ask for fewer")
		bundle := r.Bundle("b", append(with("fifo", "hugepages", "2Mi=4"), fills(4))...)
		has(r, "explain", r.Must(r.Shield("explain", "--bundle", bundle)).Stdout, "huge pages: 2Mi=4 on node 0\n", "/dev/hugepages-2Mi")
		r.Detach("b", bundle)
		pages(r, "all in use", 4, 0)
		status := r.Must(r.Shield("status")).Stdout
		has(r, "status", status, "huge pages of b: 2Mi=4 on node 0\n")
		// This host has cgroup v1 without the hugetlb controller.
		if !exists("/sys/fs/cgroup/hugetlb") {
			has(r, "status", status, "the container may take more than it was promised: this host has no hugetlb cgroup controller")
		}
		more := r.OCI("exec", "b", "/bin/busybox", "fallocate", "-l", strconv.Itoa(5<<21), "/dev/hugepages-2Mi/x")
		if more.Code == 0 {
			r.Errorf("a fifth page was to be had: %s", more)
		}
		r.End("b")
		pages(r, "after delete", 4, 4)
		r.AsBefore("after delete")
	})
}

func TestHugePagesThatAreMissingAreReservedWhileTheContainerLives(t *testing.T) {
	withPages(t, 1, testhost.Options{Classes: reserving}, func(r *rig.Rig) {
		refusedWhole(r, "above the ceiling", "json", r.Rtshield, r.Bundle("a", with("fifo", "hugepages", "2Mi=9")...),
			"asks for 9 huge pages of 2Mi; class fifo allows at most 8", "max_hugepages")
		asks := append(with("fifo", "hugepages", "2Mi=4"), fills(4))
		bundle := r.Bundle("b", asks...)
		has(r, "explain", r.Must(r.Shield("explain", "--bundle", bundle)).Stdout, "huge pages: 2Mi=4 on node 0 (3 reserved for it)\n", allPool+": 1 → 4")
		ends := map[string]func(){
			"delete":         func() { r.End("b") },
			"delete --force": func() { r.Must(r.OCI("delete", "--force", "b")) },
			"reconcile after kill -9": func() {
				testhost.Kill9(r, r.State("b").Pid)
				r.Eventual(func() error { return stopped(r, "b") })
				has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, "released b", allPool+": 4 → 1")
				r.Must(r.Plain("delete", "b"))
			},
		}
		for how, end := range ends {
			r.Detach("b", bundle)
			pages(r, how+": all in use", 4, 0)
			has(r, "status", r.Must(r.Shield("status")).Stdout, "huge pages of b: 2Mi=4 on node 0 (3 reserved for it)\n")
			end()
			pages(r, how, 1, 1)
			r.AsBefore(how)
		}
		r.Create("b", bundle)
		pages(r, "created", 4, 4)
		put(r, allPool, "3") // somebody else's write is seen, and undone
		has(r, "status", r.Must(r.Shield("status")).Stdout, allPool, `is "3" and should be "4"`)
		has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, allPool+": 3 → 4")
		r.Must(r.OCI("delete", "--force", "b"))
		r.AsBefore("deleted before its start")
		failing := append(asks, func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{failing()}} })
		if res, _ := r.TryBegin("create", "c", r.Bundle("c", failing...)); res.Code == 0 {
			r.Errorf("it did not fail: %s", res)
		}
		r.OCI("delete", "--force", "c")
		pages(r, "after a create that failed", 1, 1)
		r.AsBefore("after a create that failed")
	})
}

func stopped(r *rig.Rig, id string) error {
	if status := r.Status(id); status != "stopped" {
		return fmt.Errorf("container %s is %q", id, status)
	}
	return nil
}

// Without the hugetlb controller the delegate has words of its own for a limit; ours must not be among them.
func TestALimitOfTheEnginesOnHugePagesIsCheckedBeforeAContainerIs(t *testing.T) {
	withPages(t, 2, testhost.Options{}, func(r *rig.Rig) {
		limits := func(pages int64) rig.Edit {
			return func(s *specs.Spec) {
				s.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{
					{Pagesize: "2MB", Limit: uint64(pages) << 21}, {Pagesize: "1GB", Limit: 0}, {Pagesize: "64KB", Limit: 1<<63 - 4096},
				}
			}
		}
		refusedWhole(r, "too few", "json", r.Rtshield, r.Bundle("a", rig.Class("fifo"), limits(3)), "asks for 3 huge pages of 2Mi", "has 2 to give")
		refusedWhole(r, "the annotation contradicts", "json", r.Rtshield, r.Bundle("b", append(with("fifo", "hugepages", "2Mi=1"), limits(2))...),
			"rtshield.io/hugepages asks for 1 huge pages of 2Mi", "the engine limits the container to 2")
		res, _ := r.TryBegin("run", "c", r.Bundle("c", rig.Class("fifo"), limits(2)), "--detach")
		if strings.Contains(res.Stderr, "rtshield:") {
			r.Errorf("refused with enough free pages: %s", res)
		}
		if res.Code == 0 {
			r.End("c")
		}
	})
}

// A hugetlbfs of the bundle's own stays as it is.
func TestAHugetlbfsIsMountedOnlyWhereThereIsNone(t *testing.T) {
	withPages(t, 1, testhost.Options{}, func(r *rig.Rig) {
		list := rig.Args("/bin/busybox", "cat", "/proc/self/mounts")
		own := func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/huge", Type: "hugetlbfs", Source: "hugetlbfs", Options: []string{"pagesize=2M"}})
		}
		for id, c := range map[string]struct {
			edits []rig.Edit
			want  string
		}{"a": {[]rig.Edit{list}, " /dev/hugepages-2Mi hugetlbfs rw,nosuid,nodev,"}, "b": {[]rig.Edit{list, own}, " /huge hugetlbfs "}} {
			r.Track(id)
			mounts := r.Must(r.OCI("run", "--bundle", r.Bundle(id, append(with("fifo", "hugepages", "2Mi=1"), c.edits...)...), id)).Stdout
			if has(r, "the mounts of "+id, mounts, c.want, "pagesize=2M"); strings.Count(mounts, " hugetlbfs rw") != 1 {
				r.Errorf("the mounts of %s: %s", id, mounts)
			}
		}
	})
}

// As under systemd's MemoryKSM=, the engine's processes, here ours, have the flag and hand it on.
func TestMemoryIsMergedWithNobodysWhereTheClassSaysOff(t *testing.T) {
	rig.EachRunc(t, func(t *testing.T, runc string) {
		r := rig.New(t, runc, testhost.Options{})
		if err := unix.Prctl(unix.PR_SET_MEMORY_MERGE, 1, 0, 0, 0); err != nil {
			r.Fatalf("prctl(PR_SET_MEMORY_MERGE): %v (Linux 6.4 with CONFIG_KSM)", err)
		}
		r.Cleanup(func() {
			if err := unix.Prctl(unix.PR_SET_MEMORY_MERGE, 0, 0, 0, 0); err != nil {
				r.Error(err)
			}
		})
		for class, want := range map[string]string{"fifo": "ksm_merge_any: no", "batch": "ksm_merge_any: yes"} {
			pid := r.Detach(class, r.Bundle(class, rig.Class(class)))
			r.Eventual(func() error { return programIs(pid, "/bin/busybox") })
			has(r, "class "+class, r.Text(fmt.Sprintf("/proc/%d/ksm_stat", pid)), want)
			r.End(class)
		}
	})
}
