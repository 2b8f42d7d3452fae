package runc_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// checked runs check, which shall end with that status, and gives what it found by name.
func checked(r *rig.Rig, code int, args ...string) (check.Report, map[string]check.Finding) {
	r.Helper()
	res := r.Shield(append([]string{"check", "--json"}, args...)...)
	var report check.Report
	decoder := json.NewDecoder(strings.NewReader(res.Stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		r.Fatalf("%v: %s", err, res)
	}
	if res.Code != code || res.Stderr != "" {
		r.Errorf("want status %d: %s", code, res)
	}
	findings := map[string]check.Finding{}
	for _, finding := range report.Findings {
		findings[finding.Name] = finding
	}
	return report, findings
}

// noTrial fails if something of a trial is left.
func noTrial(r *rig.Rig, when string) {
	r.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/rtshield-check*", "/sys/fs/cgroup/*/rtshield-check*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			r.Errorf("%s: there still is %q", when, left)
		}
	}
}

// What check says is what a container then has, and what status says of it.
func TestCheckSaysWhatAContainerThenHas(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		report, found := checked(r, 0)
		r.AsBefore("after a check")
		noTrial(r, "after a check")
		if !report.Tried || found["real time"].Mark != check.Good || report.Pool.String() != shieldCPU || report.Kernel != host.System.Kernel() {
			r.Errorf("%+v", report)
		}
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		grant := r.Grant("web")
		if report.Level != grant.Level || report.Level == "" {
			r.Errorf("check said level %q, and it is %q", report.Level, grant.Level)
		}
		if budget := grant.Budget; budget.Period > 0 {
			has(r, "FIFO", found["real time"].Found, fmt.Sprintf("%d of %d µs of budget", budget.Runtime, budget.Period))
			micros := found["RT throttling"].Micros
			if micros == nil || micros.Value != float64(budget.Period-budget.Runtime) {
				r.Errorf("RT throttling: %+v of %+v", found["RT throttling"], budget)
			}
		}
		var now status.Status
		if err := json.Unmarshal([]byte(r.Must(r.Shield("status", "--json")).Stdout), &now); err != nil {
			r.Fatal(err)
		}
		agreesWithLimits(r, found, now.Grants[0].Limits)

		_, found = checked(r, 0)
		if beside := found["real time"]; beside.Mark != check.Good || !strings.Contains(beside.Found, "container web runs fifo 50") {
			r.Errorf("beside a container that has all of the shield: %+v", beside)
		}
		noTrial(r, "beside a container")
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		r.End("web")
	})
}

// agreesWithLimits: what status names of a container, check has told before, and the other way round.
func agreesWithLimits(r *rig.Rig, found map[string]check.Finding, limits []shield.Limit) {
	r.Helper()
	managed := false
	words := map[shield.Kind]string{shield.WakeLatency: "sleep states", shield.Governor: "frequency", shield.Irqbalance: "irqbalance"}
	for _, limit := range limits {
		switch {
		case limit.Kind == shield.IRQ && limit.Why == irq.ErrManaged.Error():
			managed = true
			name, _, _ := strings.Cut(limit.What, " may arrive")
			has(r, "managed interrupts", found["managed interrupts"].Found, name)
		case words[limit.Kind] != "":
			if finding := found[words[limit.Kind]]; finding.Mark != check.Limit {
				r.Errorf("status says %s, and check: %+v", limit, finding)
			}
		case limit.Kind == "" && strings.HasPrefix(limit.What, "RLIMIT_"):
			has(r, "limits", found["limits"].Found, strings.Fields(limit.What)[0])
		}
	}
	if (found["managed interrupts"].Mark == check.Limit) != managed {
		r.Errorf("status names managed interrupts: %v, and check says %+v", managed, found["managed interrupts"])
	}
	raised := !slices.ContainsFunc(limits, func(l shield.Limit) bool { return strings.HasPrefix(l.What, "RLIMIT_") })
	if (found["limits"].Mark == check.Good) != raised {
		r.Errorf("limits were raised: %v, and check says %+v", raised, found["limits"])
	}
}

// The budget that others have is not there for containers, and check says so before create does.
func TestCheckFailsWhereNoRealTimeCanBeHad(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	root := "/sys/fs/cgroup/cpu"
	runtime, _, err := rt.Budget(host.System, root)
	if err != nil {
		t.Fatalf("this host has no real-time budgets: %v", err)
	}
	greedy := rig.Cgroup("cpu", "rtshield-greedy", "")
	if err := os.Mkdir(greedy, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		put(r, filepath.Join(greedy, "cpu.rt_runtime_us"), "0")
		if err := os.Remove(greedy); err != nil {
			t.Error(err)
		}
	})
	r.Eventual(func() error { return rt.SetRuntime(host.System, greedy, runtime) }) // the groups of the test before count for a moment
	_, found := checked(r, 1)
	fifo := found["real time"]
	if fifo.Mark != check.Fail || len(fifo.Do) == 0 {
		t.Errorf("%+v", fifo)
	}
	has(t, "FIFO", fifo.Found, "did not get fifo 50", "real-time budget")
	noTrial(r, "after a check that failed")
	res, _ := r.TryBegin("create", "web", r.Bundle("web", rig.Class("fifo")))
	if res.Code == 0 {
		t.Errorf("a container got what check says nobody can: %s", res)
	}
}

func TestCheckLooksOnlyWhereItMayNotOrShallNotTry(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	report, found := checked(r, 2, "--no-try")
	if report.Tried || found["real time"].Mark != check.Unknown {
		t.Errorf("%+v", found["real time"])
	}
	would, _ := checked(r, 0, "--fix", "--dry-run")
	for _, line := range would.Fixed {
		if !strings.HasPrefix(line, "would ") {
			t.Errorf("a dry run has done %q", line)
		}
	}
	r.AsBefore("after a dry run")
	out, code := asNobody(r, "check")
	if code == 0 { // 1 where the delegate stands in a directory that is root's alone
		t.Errorf("as nobody: status %d: %s", code, out)
	}
	has(t, "as nobody", out, "unknown  real time", "rtshield runs as uid 65534")
	for _, line := range lines(r.Shield("check", "--verbose").Stdout) {
		if n := utf8.RuneCountInString(line); n > 100 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}
