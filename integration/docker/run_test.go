package docker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

func TestDockerRunShowsOneCPUAndFIFO50(t *testing.T) {
	for _, runtime := range []struct{ name, want string }{
		{"rtshield-fifo", fifo()},
		{"rtshield-rr", "RR 50 on " + shieldedCPU()},
		{"rtshield", ordinary()},
		{"runc", ordinary()}, // what all of it would be without us
	} {
		t.Run(runtime.name, func(t *testing.T) {
			unchanged(t)
			out := ok(t, args(runtime.name, "--rm", img, "sh", "-c", tell)...)
			if got := told(t, out); got != runtime.want {
				t.Errorf("it says that it runs %s, want %s", got, runtime.want)
			}
		})
	}
}

func TestAnotherDelegateRunsItTheSame(t *testing.T) {
	unchanged(t)
	t.Cleanup(func() {
		if err := engine.writePolicy(); err != nil {
			t.Error(err)
		}
	})
	if err := engine.writePolicy("/usr/sbin/runc", "/usr/bin/runc"); err != nil { // the distribution's
		t.Fatal(err)
	}
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	if out := ok(t, "exec", c.id, "cut", "-d ", "-f41", "/proc/self/stat"); out != "0" {
		t.Errorf("exec runs with policy %s", out)
	}
	ok(t, "stop", c.id)
}

func TestNoInterruptThatCanBeMovedReachesItsCPUWhileItRuns(t *testing.T) {
	unchanged(t)
	if movable, _ := reaching(t, shieldedCPU()); len(movable) == 0 {
		t.Fatalf("no interrupt can reach CPU %s even now: this host cannot show that they leave", shieldedCPU())
	}
	c := start(t, "rtshield-fifo", img, loop)
	movable, managed := reaching(t, shieldedCPU())
	if len(movable) > 0 {
		t.Errorf("irq %v may arrive on CPU %s", movable, shieldedCPU())
	}
	if nobodyShields() == nil {
		t.Errorf("by default_smp_affinity the next device's interrupts may arrive on CPU %s", shieldedCPU())
	}
	grant := theGrant(t)
	if grant.PID != c.pid(t) || grant.CPUs != shieldedCPU() || grant.ID != c.id || grant.Class != "fifo" || grant.State != "bound" {
		t.Errorf("status lists %+v; the container is %s, pid %d, on CPU %s", grant, c.id, c.pid(t), shieldedCPU())
	}
	for _, irq := range managed {
		named := slices.ContainsFunc(grant.Limits, func(limit limit) bool {
			return strings.HasPrefix(limit.What, "irq "+irq+" ") && strings.Contains(limit.Why, "manage")
		})
		if !named {
			t.Errorf("irq %s is managed by the kernel and may arrive, but status does not name it: %+v", irq, grant.Limits)
		}
	}
	ok(t, "stop", c.id)
	if movable, _ := reaching(t, shieldedCPU()); len(movable) == 0 {
		t.Error("after it no interrupt may arrive there again")
	}
}

func TestItsEnvironmentNamesWhatItGot(t *testing.T) {
	unchanged(t)
	out := ok(t, args("rtshield-fifo", "--rm", img, "env")...)
	for _, want := range []string{"RTSHIELD_CPUS=" + shieldedCPU(), "RTSHIELD_CLASS=fifo", "RTSHIELD_LEVEL="} {
		if !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for _, runtime := range []string{"rtshield", "runc"} {
		if out := ok(t, args(runtime, "--rm", img, "env")...); strings.Contains(out, "RTSHIELD") {
			t.Errorf("under %s:\n%s", runtime, out)
		}
	}
}

func TestTheExitStatusIsTheContainers(t *testing.T) {
	unchanged(t)
	if r := docker(t, args("rtshield-fifo", "--rm", img, "sh", "-c", "exit 7")...); r.code != 7 {
		t.Error(r)
	}
	// What cannot be started gets runc's own words, and leaves nothing behind.
	r := docker(t, args("rtshield-fifo", "--rm", img, "/no/such/program")...)
	if r.code != 127 || !strings.Contains(r.stderr, "/no/such/program") || strings.Contains(r.stderr, "rtshield: ") {
		t.Error(r)
	}
}

func TestPlainRuncBesideItIsUnaffected(t *testing.T) {
	unchanged(t)
	shielded := start(t, "rtshield-fifo", img, loop)
	scheduled(t, shielded, fifo())
	plain := start(t, "runc", img, loop)
	if out, err := engine.admin("reconcile").CombinedOutput(); err != nil { // rtshield knows of it from its next run on
		t.Fatalf("%v: %s", err, out)
	}
	scheduled(t, plain, "OTHER 0 on "+others())
	ok(t, "stop", shielded.id)
	scheduled(t, plain, ordinary())
	ok(t, "stop", plain.id)
}

type limit struct{ What, Why string }

type grant struct {
	ID, Class, CPUs, State string
	PID                    int
	Limits                 []limit
}

// grants asks `rtshield status --json`.
func grants(t *testing.T) []grant {
	t.Helper()
	cmd := engine.admin("status", "--json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	var status struct{ Grants []grant }
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return status.Grants
}

func theGrant(t *testing.T) grant {
	t.Helper()
	list := grants(t)
	if len(list) != 1 {
		t.Fatalf("%d containers hold CPUs, want 1: %+v", len(list), list)
	}
	return list[0]
}

// released waits until nobody holds a CPU: for containers that ended without anybody having been told.
func released(t *testing.T) {
	t.Helper()
	testhost.Eventually(t, patience, func() error {
		if list := grants(t); len(list) > 0 {
			return fmt.Errorf("still held: %+v", list)
		}
		return nil
	})
}
