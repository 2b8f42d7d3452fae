//go:build vmguest

package systemd_test

import (
	"strings"
	"testing"
)

func TestAShieldedContainerHoldsTheStrongestLevel(t *testing.T) {
	for name, words := range map[string][]string{
		"by name":       {"--runtime=rtshield-fifo"},
		"by annotation": {"--runtime=rtshield", "--annotation", "rtshield.io/class=fifo"},
	} {
		t.Run(name, func(t *testing.T) {
			unchanged(t)
			c := start(t, words...)
			c.holds(t, "running")
			want := "cpuset"
			if partitions() {
				want = "partition"
			}
			if grant := c.grant(t); grant.Level != want || grant.CPUs.Size() != 1 {
				t.Errorf("level %s on CPU %s, want %s on one", grant.Level, grant.CPUs, want)
			}
			run(t, "docker", "stop", c.id)
			ended(t)
		})
	}
}

func TestOrdinaryContainersStayOrdinary(t *testing.T) {
	unchanged(t)
	online := allowed(t, 1)
	before := start(t, "--runtime=runc")
	c := shielded(t)
	held := heldBy(c.grant(t))
	others := map[string]container{"before it": before, "of rtshield, after it": start(t, "--runtime=rtshield")}
	for name, other := range others {
		if now := allowed(t, other.pid(t)); !now.Equals(online.Difference(held)) {
			t.Errorf("a container %s runs on CPU %s, held is %s", name, now, held)
		}
	}
	// Nobody asks rtshield about one of plain runc.
	others["of runc, after it"] = start(t, "--runtime=runc")
	c.holdsOrIsRestored(t, "after the start of a container of runc")
	run(t, "docker", "stop", c.id)
	ended(t)
	for name, other := range others {
		if now := allowed(t, other.pid(t)); !now.Equals(online) {
			t.Errorf("afterwards a container %s runs on CPU %s, online is %s", name, now, online)
		}
	}
}

func TestExecRunsOrdinary(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	stat := run(t, "docker", "exec", c.id, "cat", "/proc/self/stat")
	_, fields, _ := strings.Cut(stat, ") ")
	// rt_priority and policy are the fields 40 and 41 of proc(5); two are cut off.
	if words := strings.Fields(fields); len(words) < 39 || words[37] != "0" || words[38] != "0" {
		t.Errorf("exec does not run SCHED_OTHER: %q", stat)
	}
	c.holds(t, "after exec")
}

func TestWhicheverWayItEndsTheHostIsAsBefore(t *testing.T) {
	for _, end := range [][]string{{"stop"}, {"kill"}, {"rm", "-f"}} {
		t.Run(end[0], func(t *testing.T) {
			unchanged(t)
			c := shielded(t)
			run(t, append(append([]string{"docker"}, end...), c.id)...)
			if end[0] == "kill" {
				run(t, "docker", "wait", c.id)
			}
			ended(t)
		})
	}
}

func TestARestartedContainerHoldsAgain(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	before := c.pid(t)
	run(t, "docker", "restart", c.id)
	if now := c.pid(t); now == before {
		t.Errorf("it still is pid %d", now)
	}
	c.holds(t, "restarted")
}

func TestARestartedDaemonFindsTheShieldAsItWas(t *testing.T) {
	unchanged(t)
	c := shielded(t)
	before := c.pid(t)
	run(t, "systemctl", "restart", "docker.service") // live-restore
	if now := c.pid(t); now != before {
		t.Errorf("the container was pid %d, is %d", before, now)
	}
	c.holdsOrIsRestored(t, "after the daemon's restart")
	run(t, "docker", "stop", c.id)
	ended(t)
}
