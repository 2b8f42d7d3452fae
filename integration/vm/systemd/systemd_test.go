//go:build vmguest

package systemd_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/snapshot"
)

func TestADaemonReloadLeavesTheShield(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	c.holds(t, "running")
	before := snapshot.Take()
	run(t, "systemctl", "daemon-reload")
	for _, line := range snapshot.Diff(before, snapshot.Take()) {
		t.Log("daemon-reload: " + line)
	}
	c.holdsOrIsRestored(t, "after daemon-reload")
	// One with CPUs of its own makes systemd look at the controllers of all units beside it.
	start(t, "--runtime=rtshield", "--cpuset-cpus=0-1")
	c.holdsOrIsRestored(t, "after daemon-reload, and the start of a container with a cpuset")
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

// Linux 6.12 makes no partition beside a unit that names the container's CPUs, and invalidates one when systemd writes
// that unit's AllowedCPUs again.
func TestAUnitWithCPUsOfItsOwnGivesWay(t *testing.T) {
	unchanged(t)
	service(t, "system.slice", "named", "--property=AllowedCPUs=0-7")
	c := shielded(t)
	c.holds(t, "running")
	run(t, "systemctl", "daemon-reload")
	start(t, "--runtime=rtshield", "--cpuset-cpus=0-1") // and now systemd writes it
	c.holdsOrIsRestored(t, "after daemon-reload, and the start of a container with a cpuset")
	run(t, "docker", "stop", c.id)
	ended(t)
}

// service starts one that sleeps, in a slice.
func service(t *testing.T, slice, unit string, options ...string) int {
	t.Helper()
	words := append([]string{"systemd-run", "--unit=" + unit, "--slice=" + slice}, options...)
	run(t, append(words, "sleep", "100000")...)
	t.Cleanup(func() { _, _ = command(nil, "systemctl", "stop", unit) }) // the test may have stopped it
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
	// Beside the container, in a slice that is there before, and in one that comes with its service.
	for slice, before := range map[string]bool{"system.slice": true, "known.slice": true, "fresh.slice": false} {
		t.Run(slice, func(t *testing.T) {
			unchanged(t)
			name, _, _ := strings.Cut(slice, ".")
			if slice != "system.slice" { // systemd keeps one that is empty
				t.Cleanup(func() { run(t, "systemctl", "stop", slice) })
			}
			if before {
				service(t, slice, "old-"+name)
			}
			c := shielded(t)
			c.holds(t, "running")
			service(t, slice, "new-"+name)
			if before {
				run(t, "systemctl", "restart", "old-"+name)
			}
			c.holdsOrIsRestored(t, "after the start of services in "+slice)
			run(t, "docker", "stop", c.id)
			ended(t)
		})
	}
}
