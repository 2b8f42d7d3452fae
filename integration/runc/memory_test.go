package runc_test

import (
	"fmt"
	"strings"
	"testing"

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

func statusField(r *rig.Rig, pid int, name string) string {
	r.Helper()
	for line := range strings.Lines(r.Text(fmt.Sprintf("/proc/%d/status", pid))) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
