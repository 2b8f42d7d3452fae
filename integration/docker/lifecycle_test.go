package docker_test

import (
	"strings"
	"testing"
)

func TestExecIsOrdinaryOnTheContainersCPU(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	// Of the shell itself, and of what it starts.
	out := ok(t, "exec", c.id, "sh", "-c",
		"grep Cpus_allowed_list /proc/$$/status; cut -d' ' -f40,41 /proc/$$/stat; grep Cpus_allowed_list /proc/self/status; cut -d' ' -f40,41 /proc/self/stat")
	lines := strings.Split(out, "\n")
	if len(lines) != 4 {
		t.Fatalf("exec prints %q", out)
	}
	for _, who := range []string{strings.Join(lines[:2], "\n"), strings.Join(lines[2:], "\n")} {
		if got, want := told(t, who), "OTHER 0 on "+shieldedCPU(); got != want {
			t.Errorf("exec runs %s, want %s", got, want)
		}
	}
	scheduled(t, c, fifo()) // and its first process as before
	if r := docker(t, "exec", c.id, "sh", "-c", "exit 5"); r.code != 5 {
		t.Errorf("exit status of exec: %v", r)
	}
	if out, err := engine.cliWith(strings.NewReader("in and out\n"), "exec", "-i", c.id, "cat").succeeded(); err != nil || out != "in and out" {
		t.Errorf("exec -i: %q, %v", out, err)
	}
	ok(t, "stop", c.id)
}

// After each of these the host is as before at once, not some day.
func TestWhicheverWayItEndsTheHostIsAsBefore(t *testing.T) {
	for name, end := range map[string]func(*testing.T, container){
		"stop":      func(t *testing.T, c container) { ok(t, "stop", c.id) },
		"stop -t 0": func(t *testing.T, c container) { ok(t, "stop", "-t", "0", c.id) },
		"kill":      func(t *testing.T, c container) { ok(t, "kill", c.id); ok(t, "wait", c.id) },
		"kill TERM": func(t *testing.T, c container) { ok(t, "kill", "-s", "TERM", c.id); ok(t, "wait", c.id) },
		"rm -f":     func(t *testing.T, c container) { ok(t, "rm", "-f", c.id) },
	} {
		t.Run(name, func(t *testing.T) {
			unchanged(t)
			c := start(t, "rtshield-fifo", img, loop)
			scheduled(t, c, fifo())
			end(t, c)
			if list := grants(t); len(list) > 0 {
				t.Errorf("still held: %+v", list)
			}
			if movable, _ := reaching(t, shieldedCPU()); len(movable) == 0 {
				t.Error("the interrupts have not come back")
			}
		})
	}
}

func TestRestartIsTheSameContainerWithANewGrant(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	before := theGrant(t)
	for range 3 {
		ok(t, "restart", c.id)
		scheduled(t, c, fifo())
		after := theGrant(t)
		if after.ID != c.id || after.PID == before.PID || after.PID != c.pid(t) {
			t.Errorf("the grant was %+v, is %+v, the container runs as pid %d", before, after, c.pid(t))
		}
		before = after
	}
	ok(t, "stop", c.id)
}

func TestAStoppedContainerStartsAgain(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	ok(t, "stop", c.id)
	if list := grants(t); len(list) > 0 {
		t.Fatalf("stopped, it holds %+v", list)
	}
	ok(t, "start", c.id)
	scheduled(t, c, fifo())
	if out := c.inspect(t, "json .Config.Env"); strings.Contains(out, "RTSHIELD") {
		t.Errorf("docker keeps our environment as the user's: %s", out)
	}
	ok(t, "stop", c.id)
}

func TestTenInARowThatEndAtOnce(t *testing.T) {
	unchanged(t)
	for range 10 {
		ok(t, args("rtshield-fifo", "--rm", img, "true")...)
		if list := grants(t); len(list) > 0 {
			t.Fatalf("still held: %+v", list)
		}
	}
}

func TestARestartPolicyGetsItsGrantEachTime(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", "--restart=on-failure:2", img, "sh", "-c", tell+"; exit 1")
	ok(t, "wait", c.id) // may be of any of the three
	waitFor(t, c, ".RestartCount", "2")
	waitFor(t, c, ".State.Status", "exited")
	out := ok(t, "logs", c.id)
	if n := strings.Count(out, "\n50 1") + strings.Count(out, "\n50 2"); n != 3 {
		t.Errorf("%d of its 3 runs were real-time:\n%s", n, out)
	}
}
