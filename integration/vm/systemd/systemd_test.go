//go:build vmguest

package systemd_test

import (
	"strconv"
	"testing"
)

func TestADaemonReloadLeavesTheShield(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	c.holds(t, "running")
	run(t, "systemctl", "daemon-reload")
	c.holdsOrIsRestored(t, "after daemon-reload")
	run(t, "docker", "stop", c.id)
	ended(t)
}

func TestADaemonReexecLeavesTheShield(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	run(t, "systemctl", "daemon-reexec")
	c.holdsOrIsRestored(t, "after daemon-reexec")
	run(t, "docker", "stop", c.id)
	ended(t)
}

// service starts one that sleeps, in a slice, and gives its first process.
func service(t *testing.T, slice, unit string) int {
	t.Helper()
	run(t, "systemd-run", "--unit="+unit, "--slice="+slice, "--property=KillSignal=SIGKILL", "sleep", "100000")
	t.Cleanup(func() { _, _ = command(nil, "systemctl", "stop", unit) })
	return mainPID(t, unit)
}

func mainPID(t *testing.T, unit string) int {
	t.Helper()
	pid, err := strconv.Atoi(run(t, "systemctl", "show", "--property=MainPID", "--value", unit))
	if err != nil || pid <= 1 {
		t.Fatalf("%s runs as pid %d, %v", unit, pid, err)
	}
	return pid
}

func TestServicesThatStartLaterStayOff(t *testing.T) {
	for _, slice := range []string{"system.slice", "later.slice"} {
		t.Run(slice, func(t *testing.T) {
			unchanged(t)
			old := "old-" + slice[:5]
			service(t, slice, old)
			c := shielded(t)
			c.holds(t, "running")
			fresh := service(t, slice, "new-"+slice[:5])
			run(t, "systemctl", "restart", old)
			held := heldBy(c.grant(t))
			t.Logf("the new one runs on CPU %s, the restarted one on %s", allowed(t, fresh), allowed(t, mainPID(t, old)))
			if allowed(t, fresh).Intersection(held).IsEmpty() && allowed(t, mainPID(t, old)).Intersection(held).IsEmpty() {
				t.Log("both stay off")
			}
			c.holdsOrIsRestored(t, "after the start of services in "+slice)
			run(t, "docker", "stop", c.id)
			ended(t)
		})
	}
}
