//go:build vmguest

package guest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// checked runs check, which shall find nothing that fails or is unknown, and gives what it found by name.
func (r *rig) checked() (check.Report, map[string]check.Finding) {
	r.Helper()
	result := r.must(r.command("check", "--json"))
	var report check.Report
	if err := json.Unmarshal([]byte(result.out), &report); err != nil {
		r.Fatalf("%v: %s", err, result)
	}
	found := map[string]check.Finding{}
	for _, finding := range report.Findings {
		found[finding.Name] = finding
	}
	return report, found
}

func trials() []string {
	left, _ := filepath.Glob("/sys/fs/cgroup/rtshield-check*")
	more, _ := filepath.Glob("/sys/fs/cgroup/*/rtshield-check*")
	return append(left, more...)
}

// The level that check says is the one that a container reaches, on each kernel; what it names as managed is what status names.
func TestCheckSaysWhatAContainerThenHas(t *testing.T) {
	once(t, func(r *rig) {
		report, found := r.checked()
		r.asBefore("after a check")
		if left := trials(); len(left) > 0 {
			r.Errorf("a check left %q", left)
		}
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		if report.Level != grant.Level || report.Level == "" {
			r.Errorf("check said level %q (%s), and it is %q", report.Level, report.Weaker, grant.Level)
		}
		if grant.Level == shield.LevelPartition && !strings.Contains(found["partition"].Found, "was made a partition") {
			r.Errorf("%+v", found["partition"])
		}
		if found["real time"].Mark != check.Good || found["preemption"].Mark != check.Good {
			r.Errorf("on a real-time kernel: %+v, %+v", found["real time"], found["preemption"])
		}
		if found["hypervisor"].Mark != check.Limit {
			r.Errorf("in a virtual machine: %+v", found["hypervisor"])
		}
		var now status.Status
		if err := json.Unmarshal([]byte(r.must(r.command("status", "--json")).out), &now); err != nil {
			r.Fatal(err)
		}
		for _, limit := range now.Grants[0].Limits {
			name, _, _ := strings.Cut(limit.What, " may arrive")
			few := strings.Contains(found["managed interrupts"].Found, " more")
			if limit.Kind == shield.IRQ && limit.Why == irq.ErrManaged.Error() && !few && !strings.Contains(found["managed interrupts"].Found, name) {
				r.Errorf("status says %s, and check: %s", limit, found["managed interrupts"].Found)
			}
		}
		managed, _ := interrupts(r)
		if len(managed) > 0 && found["managed interrupts"].Mark != check.Limit {
			r.Errorf("this VM has managed interrupts %v, and check says %+v", managed, found["managed interrupts"])
		}
		if _, found = r.checked(); !strings.Contains(found["real time"].Found, "got fifo 50") && !strings.Contains(found["real time"].Found, "container a runs fifo") {
			r.Errorf("beside a container: %+v", found["real time"])
		}
		if now := r.grant("a"); now.Level != grant.Level || now.CPUs.String() != grant.CPUs.String() {
			r.Errorf("beside a container: it had %s at level %s, and has %s at level %s", grant.CPUs, grant.Level, now.CPUs, now.Level)
		}
	})
}

// Killed while it tries, a check is cleaned up by reconcile, and by the next check.
func TestACheckThatIsKilledIsCleanedUp(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		for _, by := range []string{"reconcile", "check"} {
			r.killCheck()
			// Made before the ledger says so, or without one: a kill meets that seldom. No process has such a pid.
			for _, dir := range []string{reconcile.IdleDir, "rtshield-probe-4194305"} {
				if err := os.Mkdir(mount+"/"+dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
					r.Fatal(err)
				}
			}
			r.must(r.command(by))
			if left := trials(); len(left) > 0 {
				r.Errorf("%s left %q", by, left)
			}
			r.asBefore("after a kill and " + by)
		}
	})
}

// killCheck kills a check as soon as its trial is there.
func (r *rig) killCheck() {
	r.Helper()
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		cmd := exec.CommandContext(ctx, rtshield, "check")
		cmd.Env = append(os.Environ(), r.env...)
		if err := cmd.Start(); err != nil {
			cancel()
			r.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		for over := false; !over; {
			select {
			case <-ended:
				over = true
			default:
				if len(trials()) > 0 {
					_ = cmd.Process.Kill()
					<-ended
					over = true
				}
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		if len(trials()) > 0 {
			return
		}
	}
	r.Fatal("no check was met while it tried")
}
