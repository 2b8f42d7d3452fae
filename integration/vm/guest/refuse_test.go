//go:build vmguest

package guest_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/internal/reconcile"
)

func TestDeadlineRunsInARootPartition(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		pid, result := r.try("create", "a", r.bundle("a", class("deadline")))
		if partitions() && !isolated(r) {
			r.must(result)
			r.must(r.oci("start", "a"))
			r.runs(pid, "sleep")
			r.policy("started", pid, unix.SCHED_DEADLINE, 0)
			if kind := r.knob("a", "cpuset.cpus.partition"); kind != "root" {
				r.Errorf("cpuset.cpus.partition is %q", kind)
			}
			r.end("a")
			r.asBefore("after delete")
			return
		}
		if result.code == 0 {
			r.Fatal("the kernel took DEADLINE on a part of a root domain")
		}
		if r.late() { // crun 1.8.1 keeps a hook's own words from its caller
			r.contains("the refusal", result.stderr, "error executing hook")
		} else {
			r.contains("the refusal", result.stderr, "deadline 500µs/1ms/1ms", "root domain", "operation not permitted")
		}
		r.asBefore("after the refusal")
		if _, err := os.Stat(r.root + "/a"); err == nil {
			r.Error("the delegate still knows the container")
		}
		if !r.Failed() {
			r.Skip("DEADLINE needs a root domain of its own: a remote partition of type root (cgroup v2, Linux 6.7; CPUs of isolcpus= only make isolated ones)")
		}
	})
}

// A thread that is killed keeps its bandwidth until its period is over; the kernel then takes it from a domain that may not be
// the one that has it, if partitions have changed in between. Until they change again it refuses to take a CPU offline, or idle
// siblings out of their partition.
func TestTheBandwidthOfADeadlineContainerIsGivenBackWithItsCPUs(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		if !partitions() || isolated(r) {
			r.Skip("elsewhere: DEADLINE needs a root domain of its own")
		}
		r.begin("run", "other", class("fifo"))
		for range 3 {
			r.begin("run", "a", class("deadline"), annotate("deadline", "500ms/1s/1s"), args("/bin/busybox", "sh", "-c", "while :; do :; done"))
			r.must(r.oci("delete", "--force", "a"))
			if kept, idle := text(r, mount+"/"+reconcile.IdleDir+"/cpuset.cpus.exclusive"), r.grant("other").Idle.String(); kept != idle {
				r.Errorf("CPU %s are kept idle, should be %s", kept, idle)
			}
			time.Sleep(1200 * time.Millisecond) // more than a period, and no partition changes
			if sums := bandwidths(r); slices.ContainsFunc(sums, func(sum string) bool { return strings.HasPrefix(sum, "-") }) {
				r.Errorf("the kernel counts deadline bandwidth of %s", sums)
			}
		}
		r.end("other")
		r.asBefore("after delete")
	})
}

// bandwidths are what the kernel has promised to deadline threads on each CPU's root domain, in 1/2^20 of a CPU.
func bandwidths(r *rig) []string {
	r.Helper()
	dir := r.dir + "/debug" // at its usual place rtshield would use it
	if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount("debugfs", dir, "debugfs", 0, "")); err != nil {
		r.Fatal(err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	var sums []string
	for line := range strings.Lines(text(r, dir+"/sched/debug")) {
		if _, sum, found := strings.Cut(line, "dl_bw->total_bw"); found {
			sums = append(sums, strings.Trim(sum, " :\n"))
		}
	}
	if len(sums) != topology(r).Online.Size() {
		r.Fatalf("read %q", sums)
	}
	return sums
}

func TestDeadlineIsRefusedWithoutARootPartition(t *testing.T) {
	onRunc(t, func(r *rig) {
		_, result := r.try("create", "a", r.bundle("a", class("deadline"), annotate("partition", "none")))
		if result.code == 0 {
			r.Fatal("the kernel took DEADLINE on a part of a root domain")
		}
		r.contains("the refusal", result.stderr, "container a cannot have policy deadline", "only a part of one", "cpuset partition of type root")
		r.asBefore("after the refusal")
	})
}

func TestExplainChangesNothing(t *testing.T) {
	shownOn(t, "6.12")
	each(t, func(r *rig) {
		dir := r.bundle("a", class("fifo"))
		config := text(r, dir+"/config.json")
		before := snapshot.Take()
		out := r.must(r.command("explain", "--bundle", dir, "--json")).out
		r.contains("explain", out, `"class": "fifo"`, "hooks.createRuntime")
		if diff := snapshot.Diff(before, snapshot.Take()); len(diff) > 0 {
			r.Errorf("explain changed %q", diff)
		}
		if now := text(r, dir+"/config.json"); now != config {
			r.Errorf("explain changed config.json to %s", now)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			r.Errorf("explain left files in the bundle: %v", entries)
		}
		if _, err := os.Stat(r.ledger); err == nil {
			r.Error("explain made a ledger")
		}
		if poststart := strings.Contains(out, "hooks.poststart"); poststart != r.late() {
			r.Errorf("explain foresees poststart: %v, want %v", poststart, r.late())
		}
	})
}

// late says whether this delegate runs poststart after the program has started.
func (r *rig) late() bool { return strings.HasPrefix(r.delegate.name, "crun") }

func TestPoststartIsEnteredWhereItRunsLate(t *testing.T) {
	shownOn(t, "6.12")
	each(t, func(r *rig) {
		dir := r.bundle("a", class("fifo"))
		_, result := r.try("create", "a", dir)
		r.must(result)
		hooks := r.config(dir).Hooks
		if got := len(hooks.Poststart); got != map[bool]int{true: 1, false: 0}[r.late()] {
			r.Errorf("%s: %d poststart hooks", r.delegate.name, got)
		}
		if len(hooks.CreateRuntime) != 1 || len(hooks.Poststop) != 1 {
			r.Errorf("%d createRuntime and %d poststop hooks, want one each", len(hooks.CreateRuntime), len(hooks.Poststop))
		}
		r.must(r.oci("start", "a"))
		r.end("a")
		r.asBefore("after delete")
	})
}
