package runc_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/status"
)

// spins is a program that wants a CPU, and ends by itself after this much time of one.
func spins(seconds int) rig.Edit {
	return rig.Args("/bin/sh", "-c", fmt.Sprintf("ulimit -t %d; while :; do :; done", seconds))
}

func bandwidth(percent string, pairs ...string) rig.Edit {
	return rig.Annotate(append([]string{"cpu-bandwidth", percent}, pairs...)...)
}

// quota is what the kernel says a container may have, as "quota/period/burst".
func quota(r *rig.Rig, id string) string {
	r.Helper()
	var parts []string
	for _, file := range []string{"cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us"} {
		parts = append(parts, r.Text(rig.Cgroup("cpu", rig.CgroupParent+"/"+id, file)))
	}
	return strings.Join(parts, "/")
}

func (c counted) percent(before counted) float64 {
	return 100 * float64(c.used-before.used) / float64(c.at.Sub(before.at))
}

// counted is what the kernel's accounting says of a container.
type counted struct {
	at                 time.Time
	used               int64
	periods, throttled int
}

func count(r *rig.Rig, id string) (c counted) {
	r.Helper()
	c.at, c.used = time.Now(), r.Number(rig.Cgroup("cpuacct", rig.CgroupParent+"/"+id, "cpuacct.usage"))
	for line := range strings.Lines(r.Text(rig.Cgroup("cpu", rig.CgroupParent+"/"+id, "cpu.stat"))) {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err != nil {
			r.Fatal(err)
		}
		switch name {
		case "nr_periods":
			c.periods = n
		case "nr_throttled":
			c.throttled = n
		}
	}
	return c
}

// shown is what status tells of a container's bandwidth.
func shown(r *rig.Rig, id string, args ...string) status.Bandwidth {
	r.Helper()
	text := r.Must(r.Shield(append([]string{"status", "--json"}, args...)...)).Stdout
	var now status.Status
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		r.Fatal(err)
	}
	i := slices.IndexFunc(now.Bandwidth, func(b status.Bandwidth) bool { return b.ID == id && b.Root == r.Root })
	if i < 0 {
		r.Fatalf("status tells of no bandwidth of %s: %s", id, text)
	}
	return now.Bandwidth[i]
}

// sampled is what a container got, by the kernel's accounting and by status, and in which share of the periods it was out of
// quota. On a machine that is too busy to give it that much the time is taken again, some times.
func sampled(r *rig.Rig, id string, sample time.Duration) (kernel float64, told status.Bandwidth, out float64) {
	r.Helper()
	for try := 0; ; try++ {
		before := count(r, id)
		told = shown(r, id, "--sample", sample.String())
		after := count(r, id)
		kernel = after.percent(before)
		periods, throttled := after.periods-before.periods, after.throttled-before.throttled
		r.Logf("%.2f%% of a CPU by cpuacct, throttled in %d of %d periods; status: %+v", kernel, throttled, periods, *told.Last)
		if throttled >= periods-2 || try == 3 {
			return kernel, told, float64(throttled) / float64(max(periods, 1))
		}
	}
}

func TestHalfACPUIsHalfACPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("half", bandwidth("50%"), spins(120))
		r.Detach("half", bundle)
		if now := quota(r, "half"); now != "50000/100000/0" {
			r.Errorf("the kernel gives it %s", now)
		}
		if hooks := ours(r, bundle); len(hooks) > 0 || r.Ledger() != nil {
			r.Errorf("it is an ordinary container, with hooks %v and ledger %+v", hooks, r.Ledger())
		}
		// Where it was out of quota it had all of it: half a CPU, on a machine that has one for it.
		kernel, told, out := sampled(r, "half", 10*time.Second)
		if kernel > 52 || kernel < 50*out-2 || math.Abs(told.Last.Percent-kernel) > 1 {
			r.Errorf("in 10 s it got %.2f%% of a CPU, and was out of quota for %.0f%% of the time; status says %.2f%%", kernel, 100*out, told.Last.Percent)
		}
		if last := told.Last; last.Seconds < 10 || last.Seconds > 12 || float64(last.Throttled) < 90*out || last.ThrottledSeconds <= 0 || last.ThrottledSeconds > 7 {
			r.Errorf("status: %+v", *last)
		}
		now, life := count(r, "half"), shown(r, "half").Life
		if used := life.Percent / 100 * life.Seconds; math.Abs(used-float64(now.used)/1e9) > 0.5 || life.Seconds < 10 || life.Percent > 52 {
			r.Errorf("over its life status says %+v, and it used %d ns", life, now.used)
		}
		has(r, "status", r.Must(r.Shield("status")).Stdout, "bandwidth of half: 50% of a CPU (50ms in each 100ms)\n", "  since it was created, ", " ago: ", "% of a CPU, throttled in ", " periods for ")
		r.End("half")
		r.AsBefore("after delete")
		noNotes(r)
	})
}

// noNotes fails if anything is left that was noted of a container's bandwidth.
func noNotes(r *rig.Rig) {
	r.Helper()
	if left, _ := filepath.Glob(filepath.Join(r.Policy.State, "limited", "*")); len(left) > 0 {
		r.Errorf("notes are left: %q", left)
	}
}

func TestABandwidthThatCannotBeHadIsRefusedInOneLine(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		engine := rig.CPU(func(cpu *specs.LinuxCPU) {
			quota, period := int64(30000), uint64(100000)
			cpu.Quota, cpu.Period = &quota, &period
		})
		budget := rig.CPU(func(cpu *specs.LinuxCPU) { runtime := int64(1000); cpu.RealtimeRuntime = &runtime })
		debian := r.Runc == rig.Debian
		for i, c := range []struct {
			edits []rig.Edit
			words []string
		}{
			{[]rig.Edit{bandwidth("much")}, []string{`rtshield.io/cpu-bandwidth = "much"`, "a percentage of one CPU, such as 50%"}},
			{[]rig.Edit{bandwidth("201%")}, []string{`"201%"`, "2 CPUs", "200% or less"}},
			{[]rig.Edit{bandwidth("101%"), rig.CPUs("0")}, []string{`"101%"`, "1 CPU", "100% or less"}},
			{[]rig.Edit{bandwidth("0.5%")}, []string{"500µs of each 100ms", "1% or more", "200ms"}},
			{[]rig.Edit{bandwidth("50%", "cpu-period", "5s")}, []string{`rtshield.io/cpu-period = "5s"`, "1ms to 1s"}},
			{[]rig.Edit{rig.Annotate("cpu-period", "10ms")}, []string{"rtshield.io/cpu-period means nothing without rtshield.io/cpu-bandwidth"}},
			{[]rig.Edit{bandwidth("50%"), engine}, []string{`rtshield.io/cpu-bandwidth = "50%"`, "linux.resources.cpu.quota = 30000", "leave one of them out"}},
			{[]rig.Edit{bandwidth("50%"), engine, rig.Class("fifo")}, []string{"rtshield.io/cpu-bandwidth", "linux.resources.cpu.quota = 30000"}},
			{[]rig.Edit{bandwidth("150%"), rig.Class("fifo")}, []string{`"150%"`, "1 CPU", "100% or less"}},
			{[]rig.Edit{bandwidth("50%", "priority", "3")}, []string{"rtshield.io/priority means nothing without a class"}},
			{[]rig.Edit{bandwidth("50%", "cpu-burst", "60%")}, []string{`rtshield.io/cpu-burst = "60%"`, "at most that of cpu-bandwidth, 50%"}},
			{[]rig.Edit{rig.Annotate("rt-bandwidth", "50%")}, []string{"rtshield.io/rt-bandwidth means nothing without a class"}},
			{[]rig.Edit{rig.Annotate("rt-bandwidth", "0%"), rig.Class("fifo")}, []string{`rtshield.io/rt-bandwidth = "0%"`, "such as 80%"}},
			{[]rig.Edit{rig.Annotate("rt-bandwidth", "50%"), rig.Class("batch")}, []string{"for policies fifo and rr; class batch gives batch"}},
			{[]rig.Edit{rig.Annotate("rt-bandwidth", "50%"), rig.Class("rr"), budget}, []string{"rtshield.io/rt-bandwidth", "linux.resources.cpu.realtimeRuntime = 1000"}},
		} {
			id := "bad" + strconv.Itoa(i)
			res, _ := r.TryBegin("create", id, r.Bundle(id, c.edits...))
			refused(r, res, c.words...)
		}
		res, _ := r.TryBegin("create", "burst", r.Bundle("burst", bandwidth("50%", "cpu-burst", "20%")))
		if debian {
			refused(r, res, `rtshield.io/cpu-burst = "20%"`, "runc 1.1.5", "runc 1.2")
		} else {
			r.Must(res)
			if now := quota(r, "burst"); now != "50000/100000/20000" {
				r.Errorf("with a burst the kernel gives it %s", now)
			}
			r.End("burst")
		}
		// cgroup v1 gives nobody more than those above have.
		parent := rig.Cgroup("cpu", rig.CgroupParent, "cpu.cfs_quota_us")
		r.Eventual(func() error { return os.WriteFile(parent, []byte("30000"), 0) }) // a cgroup that is gone counts for a moment
		res, _ = r.TryBegin("create", "deep", r.Bundle("deep", bandwidth("50%")))
		refused(r, res, `"50%"`, filepath.Dir(parent), "30% of a CPU (30ms in each 100ms)", "ask for less")
		r.Detach("deeper", r.Bundle("deeper", bandwidth("30%")))
		r.End("deeper")
		put(r, parent, "-1")
		r.Gone("after the refusals")
		r.AsBefore("after the refusals")
		noNotes(r)
	})
}

func TestABandwidthHoldsThroughUpdatesUntilTheEngineNamesAQuota(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		const ours = "5000/10000/0"
		pid := r.Detach("half", r.Bundle("half", bandwidth("50%", "cpu-period", "10ms"), rig.CPUs("0-1")))
		holds := func(when, want string) {
			r.Helper()
			if now := quota(r, "half"); now != want {
				r.Errorf("%s: the kernel gives it %s, want %s", when, now, want)
			}
		}
		holds("at the start", ours)
		// The kubelet names a period with each update, and containerd what it knows.
		for _, resources := range []string{
			`{"memory":{"limit":67108864}}`, `{"cpu":{"period":100000,"shares":512,"cpus":"0-1"}}`, `{"cpu":{"quota":0,"period":100000}}`, `{"memory":{"limit":67108864}}`,
			`{"cpu":{"period":20000}}`,
		} {
			r.Must(engine(r, "half", resources))
			holds(resources, ours)
		}
		r.Must(r.OCI("update", "--cpu-period", "100000", "--memory", "68157440", "half"))
		holds("flags", ours)
		if limit := memoryLimit(r, "half"); limit != 68157440 {
			r.Errorf("the rest of the update is lost: the memory limit is %d", limit)
		}
		// Beside a shield the rules for its CPUs hold as well.
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Must(engine(r, "half", `{"cpu":{"cpus":"0-1","period":100000}}`))
		r.Runs(pid, 0, 0, "0")
		holds("beside a shield", ours)
		r.End("web")
		r.Runs(pid, 0, 0, "0-1")

		if told := shown(r, "half"); told.Changed || told.Asked != "50%" || told.Share.Quota != 5000 {
			r.Errorf("status: %+v", told)
		}
		r.Must(engine(r, "half", `{"cpu":{"quota":20000,"period":100000}}`))
		holds("a quota of the engine's", "20000/100000/0")
		r.Must(engine(r, "half", `{"cpu":{"period":50000}}`))
		holds("the engine's own period", "20000/50000/0")
		if told := shown(r, "half"); !told.Changed || told.Share.Quota != 20000 {
			r.Errorf("status: %+v", told)
		}
		has(r, "status", r.Must(r.Shield("status")).Stdout, "bandwidth of half: 40% of a CPU (20ms in each 50ms); it asked for 50%, and somebody has changed that since")
		r.End("half")
		r.AsBefore("after delete")
		noNotes(r)
	})
}

func TestAnUpdateMayTakeTheBurstBelowWhatWasAskedFor(t *testing.T) {
	r := newest(t)
	r.Detach("half", r.Bundle("half", bandwidth("50%", "cpu-burst", "50%")))
	r.Must(engine(r, "half", `{"memory":{"limit":67108864}}`))
	if now := quota(r, "half"); now != "50000/100000/50000" {
		r.Errorf("after an update of memory the kernel gives it %s", now)
	}
	r.Must(engine(r, "half", `{"cpu":{"quota":20000,"period":100000}}`))
	if now := quota(r, "half"); now != "20000/100000/0" {
		r.Errorf("after one of its quota the kernel gives it %s", now)
	}
	r.End("half")
	noNotes(r)
}

func TestANoteOfAContainerOutlivesNoOtherOfItsName(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("half", bandwidth("50%"))
		r.Detach("half", bundle)
		res, _ := r.TryBegin("create", "half", bundle)
		if res.Code == 0 || shown(r, "half").Share.Quota != 50000 {
			r.Errorf("a second one of its name: %s", res)
		}
		r.Stop("half")
		r.Must(r.Plain("delete", "half")) // behind our back
		if now := r.Must(r.Shield("status")).Stdout; strings.Contains(now, "half") {
			r.Errorf("status tells of a container that is gone: %s", now)
		}
		r.Change(bundle, func(s *specs.Spec) { delete(s.Annotations, "rtshield.io/cpu-bandwidth") })
		r.Detach("half", bundle)
		noNotes(r)
		if now := quota(r, "half"); now != "-1/100000/0" {
			r.Errorf("without the annotation the kernel gives it %s", now)
		}
		r.Must(engine(r, "half", `{"cpu":{"quota":30000,"period":100000}}`))
		r.Must(engine(r, "half", `{"memory":{"limit":67108864}}`))
		if now := quota(r, "half"); now != "30000/100000/0" {
			r.Errorf("the kernel gives it %s", now)
		}
		r.End("half")
		r.Change(bundle, bandwidth("30%"))
		r.Detach("half", bundle)
		if now := quota(r, "half"); now != "30000/100000/0" {
			r.Errorf("with another annotation the kernel gives it %s", now)
		}
		r.Must(r.OCI("delete", "--force", "half"))
		noNotes(r)
	})
}

func TestTheOrdinaryThreadsOfAShieldedContainerAreBound(t *testing.T) {
	r := newest(t)
	r.Detach("web", r.Bundle("web", rig.Class("batch"), bandwidth("30%"), spins(60)))
	if now := quota(r, "web"); now != "30000/100000/0" {
		r.Errorf("the kernel gives it %s", now)
	}
	if kernel, told, out := sampled(r, "web", 2*time.Second); kernel > 33 || kernel < 30*out-3 || math.Abs(told.Last.Percent-kernel) > 3 || told.Asked != "30%" {
		r.Errorf("it got %.2f%% of a CPU; status: %+v", kernel, told)
	}
	refused(r, engine(r, "web", `{"cpu":{"quota":50000,"period":100000}}`), "a quota of 50000", "asked for 30% of a CPU", "leave the quota out")
	r.Must(engine(r, "web", `{"memory":{"limit":67108864},"cpu":{"period":50000}}`))
	r.Must(engine(r, "web", `{"cpu":{"quota":30000,"period":100000}}`))
	if now := quota(r, "web"); now != "30000/100000/0" {
		r.Errorf("after updates the kernel gives it %s", now)
	}
	r.End("web")

	// Real-time threads are not.
	r.Detach("fast", r.Bundle("fast", rig.Class("fifo"), bandwidth("10%"), spins(60)))
	before := count(r, "fast")
	time.Sleep(2 * time.Second)
	if got := count(r, "fast").percent(before); got < 60 {
		r.Errorf("at FIFO it got %.1f%% of a CPU", got)
	}
	r.End("fast")
	r.AsBefore("after delete")
}

func TestTheRealTimeBandwidthIsTheBudgetOfItsCgroup(t *testing.T) {
	r := newest(t)
	if len(budgets(rig.CgroupParent)) == 0 {
		r.Skip("this kernel has no real-time budgets (RT_GROUP_SCHED on cgroup v1)")
	}
	res, _ := r.TryBegin("create", "all", r.Bundle("all", rig.Class("fifo"), rig.Annotate("rt-bandwidth", "96%")))
	refused(r, res, `rtshield.io/rt-bandwidth = "96%"`, "960000 µs", "950000 µs", "ask for 95% or less")
	r.AsBefore("after the refusal")

	r.Detach("web", r.Bundle("web", rig.Class("fifo"), rig.Annotate("rt-bandwidth", "40%"), spins(60)))
	if now := r.Number(rig.Cgroup("cpu", rig.CgroupParent+"/web", "cpu.rt_runtime_us")); now != 400_000 {
		r.Errorf("its budget is %d µs", now)
	}
	before := count(r, "web")
	told := shown(r, "web", "--sample", "4s")
	got := count(r, "web").percent(before)
	r.Logf("%.1f%% of a CPU by cpuacct; status: %+v", got, *told.Last)
	if math.Abs(got-40) > 10 || math.Abs(told.Last.Percent-got) > 5 || told.RealTime != "40%" || told.Asked != "" {
		r.Errorf("it got %.1f%% of a CPU; status: %+v, %+v", got, told, *told.Last)
	}
	has(r, "status", r.Must(r.Shield("status")).Stdout, "bandwidth of web:\n  real-time threads: 40% of each of its CPUs, by the real-time budget of its cgroup\n")
	r.End("web")
	r.AsBefore("after delete")
}

func TestExplainSaysWhatABandwidthWrites(t *testing.T) {
	r := newest(t)
	bundle := r.Bundle("half", bandwidth("50%"))
	before := r.Raw(bundle)
	has(r, "explain", r.Must(r.Shield("explain", "--bundle", bundle)).Stdout, "an ordinary container with 50% of a CPU (50ms in each 100ms)", "linux.resources.cpu.quota: absent → 50000", "linux.resources.cpu.period: absent → 100000")
	has(r, "explain", r.Must(r.Shield("explain", "--bundle", r.Bundle("web", rig.Class("fifo"), bandwidth("50%"), rig.Annotate("rt-bandwidth", "80%")))).Stdout,
		"ordinary threads: 50% of a CPU", "real-time threads: 80% of each of its CPUs")
	if r.Raw(bundle) != before {
		r.Error("explain changed the bundle")
	}
	noNotes(r)
}

// newest is a rig with the module's runc alone, where the delegate makes no difference.
func newest(t *testing.T) *rig.Rig {
	t.Helper()
	return rig.New(t, testhost.Runc(t), testhost.Options{})
}
