package runc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func TestTransparentHugePagesAreOffWhereTheClassSaysNever(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: "[class.fifo]\nthp = \"never\"\n"}, func(r *rig.Rig) {
		for class, want := range map[string]string{"fifo": "0", "rr": "1"} {
			pid := r.Detach(class, r.Bundle(class, rig.Class(class)))
			r.Eventual(func() error { return programIs(pid, "/bin/busybox") })
			if now := statusField(r, pid, "THP_enabled"); now != want {
				r.Errorf("class %s: THP_enabled of the container's program is %q, want %q", class, now, want)
			}
			r.End(class)
		}
	})
}

func TestMemoryIsBoundToTheNodeWhereTheDelegateCan(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: "[class.fifo]\nmemory_policy = \"bind\"\n"}, func(r *rig.Rig) {
		pid := r.Detach("c", r.Bundle("c", rig.Class("fifo")))
		r.Eventual(func() error { return programIs(pid, "/bin/busybox") })
		bound := strings.Contains(r.Text(fmt.Sprintf("/proc/%d/numa_maps", pid)), " bind:0 ")
		named := strings.Contains(r.Must(r.Shield("status")).Stdout, "linux.memoryPolicy is not set")
		if can := r.Runc != rig.Debian; bound != can || named == can {
			r.Errorf("%s: bound %v, named as a limit %v", r.Runc, bound, named)
		}
		r.End("c")
	})
}

func TestHugePagesAreThereBeforeAContainerIs(t *testing.T) {
	const free = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages"
	const reserved = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
	rig.Each(t, func(r *rig.Rig) {
		before, had := r.Text(reserved), r.Number(free)
		r.Cleanup(func() { put(r, reserved, before) })
		wants := func(pages int64) rig.Edit {
			return func(s *specs.Spec) {
				s.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{
					{Pagesize: "2MB", Limit: uint64(pages) << 21}, {Pagesize: "1GB", Limit: 0}, {Pagesize: "64KB", Limit: 1<<63 - 4096},
				}
			}
		}
		refusedWhole(r, "too few", "json", r.Rtshield, r.Bundle("a", rig.Class("fifo"), wants(had+2)),
			fmt.Sprintf("may use %d huge pages of 2MB", had+2), fmt.Sprintf("has %d free", had), "reserve more")
		put(r, reserved, fmt.Sprint(r.Number(reserved)+2))
		if now := r.Number(free); now != had+2 {
			r.Fatalf("this host has no memory for two huge pages: %d free", now)
		}
		res, _ := r.TryBegin("run", "b", r.Bundle("b", rig.Class("fifo"), wants(had+2)), "--detach")
		// Without the hugetlb controller the delegate has words of its own; ours must not be among them.
		if strings.Contains(res.Stderr, "rtshield:") {
			r.Errorf("refused with enough free pages: %s", res)
		}
		if res.Code == 0 {
			r.End("b")
		}
	})
}

func statusField(r *rig.Rig, pid int, name string) string {
	r.Helper()
	for line := range strings.Lines(r.Text(fmt.Sprintf("/proc/%d/status", pid))) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
