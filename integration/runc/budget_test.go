package runc_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

func TestBudgetsOfSharedAncestorsAreRaisedAndGivenBack(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		if len(budgets(rig.CgroupParent)) == 0 {
			t.Skip("this kernel has no real-time budgets (RT_GROUP_SCHED on cgroup v1)")
		}
		// An administrator's own group beside the container's, with a budget of its own and a little to spare above it.
		neighbour := makeBudget(r, map[string]int64{"/rtshield-test": 200_000, rig.CgroupParent: 150_000}, rig.CgroupParent+"/neighbour", 100_000)
		parent := rig.Cgroup("cpu", rig.CgroupParent, "cpu.rt_runtime_us")
		top := rig.Cgroup("cpu", "/rtshield-test", "cpu.rt_runtime_us")
		runtime := int64(300_000)
		bundle := r.Bundle("rr", rig.Class("rr"), rig.CPU(func(cpu *specs.LinuxCPU) { cpu.RealtimeRuntime = &runtime }))
		pid := r.Detach("rr", bundle)
		r.Runs(pid, unix.SCHED_RR, 50, shieldCPU)
		for file, want := range map[string]int64{parent: 400_000, top: 400_000, neighbour: 100_000} {
			if got := r.Number(file); got != want {
				r.Errorf("while it runs %s is %d, want %d", file, got, want)
			}
		}
		r.End("rr")
		for file, want := range map[string]int64{parent: 150_000, top: 200_000, neighbour: 100_000} {
			if got := r.Number(file); got != want {
				r.Errorf("afterwards %s is %d, want %d", file, got, want)
			}
		}
		if r.Ledger() != nil {
			r.Errorf("a ledger is left: %+v", r.Ledger())
		}

		// All of the host's budget beside a neighbour's is more than there is: refused whole, nothing kept.
		res, _ := r.TryBegin("create", "all", r.Bundle("all", rig.Class("fifo")))
		if res.Code == 0 {
			r.Errorf("a budget of more than there is was granted: %s", res)
		}
		has(r, "stderr", res.Stderr, "real-time budget", strconv.FormatInt(950_000+100_000, 10), "refused")
		if got := r.Number(parent); got != 150_000 {
			r.Errorf("after the refusal %s is %d", parent, got)
		}
	})
}

// makeBudget funds a group and those above it, and gives its file.
func makeBudget(r *rig.Rig, above map[string]int64, group string, runtime int64) string {
	r.Helper()
	file := rig.Cgroup("cpu", group, "cpu.rt_runtime_us")
	mkdir(r, filepath.Dir(file))
	for _, dir := range []string{filepath.Dir(filepath.Dir(group)), filepath.Dir(group)} {
		put(r, rig.Cgroup("cpu", dir, "cpu.rt_runtime_us"), strconv.FormatInt(above[dir], 10))
	}
	put(r, file, strconv.FormatInt(runtime, 10))
	r.Cleanup(func() { // from the bottom up, before the rig compares
		for _, budget := range budgets(group) {
			if err := os.WriteFile(budget, []byte("0"), 0); err != nil {
				r.Error(err)
			}
		}
	})
	return file
}
