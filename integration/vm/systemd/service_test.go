//go:build vmguest

package systemd_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/threads"
)

const (
	reconcileService = "rtshield-reconcile.service"
	stateDir         = "/run/rtshield"
)

// enable installs the unit of the packages as they do, and enables it.
func enable(t *testing.T) {
	t.Helper()
	const file = "/etc/systemd/system/" + reconcileService
	unit := strings.ReplaceAll(text(t, "/guest/"+reconcileService), "@bindir@", "/usr/local/bin") + "\n"
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run(t, "systemctl", "disable", reconcileService)
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
		run(t, "systemctl", "daemon-reload")
	})
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "enable", reconcileService)
}

// ranOnce waits until the service has run to its end, after an earlier invocation, and gives the number of this one.
func ranOnce(t *testing.T, earlier string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		state := run(t, "systemctl", "show", "--property=InvocationID,ActiveState,Result,ExecMainStatus", reconcileService)
		id := property(state, "InvocationID")
		if id != "" && id != earlier && property(state, "ActiveState") == "inactive" {
			if property(state, "Result") != "success" || property(state, "ExecMainStatus") != "0" {
				t.Errorf("%s: %q; %s", reconcileService, state, run(t, "journalctl", "--no-pager", "-u", reconcileService))
			}
			return id
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has not run: %q", reconcileService, state)
		}
	}
}

func property(state, name string) string {
	for line := range strings.Lines(state) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+"="); found {
			return value
		}
	}
	return ""
}

func TestTheServiceMendsWhatItFindsWhenAnEngineStarts(t *testing.T) {
	restartDocker(t) // after a reload it has one cgroup more, until it is restarted
	unchanged(t)
	enable(t)
	c := start(t, "--runtime=rtshield", "--annotation", "rtshield.io/class=fifo", "--annotation", "rtshield.io/threads=loop=fifo:50")
	c.holds(t, "running")
	held := heldBy(c.grant(t))
	earlier := ""
	for round := range 2 {
		watchers := threads.Watchers(stateDir)
		if len(watchers) != 1 {
			t.Fatalf("watchers of threads with rules: %v, want one", watchers)
		}
		if round == 0 { // in the other it must outlive the service
			if err := unix.Kill(watchers[0], unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		sabotage(t, held.String())
		if out, err := command(nil, "rtshield", "verify"); err == nil {
			t.Fatalf("verify finds nothing wrong:\n%s", out)
		}
		restartDocker(t)
		earlier = ranOnce(t, earlier)
		c.holds(t, "after a restart of Docker")
		if found := returned(t, held); len(found) > 0 {
			t.Errorf("after a restart of Docker: %q", found)
		}
		run(t, "rtshield", "verify")
		if now := threads.Watchers(stateDir); len(now) != 1 || round == 1 && now[0] != watchers[0] {
			t.Errorf("watchers are %v, were %v", now, watchers)
		}
	}
	if out := run(t, "journalctl", "--no-pager", "-b", "-o", "cat", "-u", reconcileService); strings.Contains(strings.ToLower(out), "error") || strings.Contains(out, "Failed") {
		t.Errorf("the journal has\n%s", out)
	} else {
		t.Logf("the journal has\n%s", out)
	}
	run(t, "docker", "stop", c.id)
	ended(t)
}

// restartDocker does it as often as a test wants: Debian's unit may start three times a minute.
func restartDocker(t *testing.T) {
	t.Helper()
	run(t, "systemctl", "reset-failed", "docker.service")
	run(t, "systemctl", "restart", "docker.service")
}

// sabotage brings interrupts to held CPUs.
func sabotage(t *testing.T, held string) {
	t.Helper()
	for number := range movable(t) {
		if err := os.WriteFile("/proc/irq/"+number+"/smp_affinity_list", []byte(held), 0); err == nil {
			return
		}
	}
	t.Fatal("no interrupt could be moved to CPU " + held)
}
