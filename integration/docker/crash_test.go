package docker_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

func TestAContainerThatIsKilledForItsMemoryIsReleased(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", "-m", "8m", "--memory-swap", "8m", img, "sh", "-c", "sleep 0.5; exec tail /dev/zero")
	scheduled(t, c, fifo())
	if code := ok(t, "wait", c.id); code != "137" {
		t.Errorf("it ended with %s", code)
	}
	if list := grants(t); len(list) > 0 {
		t.Errorf("still held: %+v", list)
	}
	waitFor(t, c, ".State.OOMKilled", "true") // an event of its own
}

// shim gives the process above the container's first.
func (c container) shim(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", c.pid(t)))) {
		if text, found := strings.CutPrefix(line, "PPid:"); found {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			name := read(t, fmt.Sprintf("/proc/%d/comm", pid))
			if err != nil || !strings.HasPrefix(name, "containerd-shim") {
				t.Fatalf("pid %d above container %s is %q, no shim", pid, c.short(), name)
			}
			return pid
		}
	}
	t.Fatal("no PPid")
	return 0
}

func TestKilledTogetherWithItsShimThenRemoved(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	pid := c.pid(t)
	testhost.Kill9(t, c.shim(t), pid)
	testhost.Ended(t, patience, pid)
	ok(t, "rm", "-f", c.id)
	released(t)
}

func TestKilledTogetherWithItsShimThenTheNextContainer(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	testhost.Kill9(t, c.shim(t), c.pid(t))
	// No waiting for containerd to notice: the next one finds the CPU free because its owner is dead.
	if got := told(t, ok(t, args("rtshield-fifo", "--rm", img, "sh", "-c", tell)...)); got != fifo() {
		t.Errorf("the next one runs %s, want %s", got, fifo())
	}
	released(t)
}

func TestKilledTogetherWithItsShimThenReconcile(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	shim, pid := c.shim(t), c.pid(t)
	goOn := stopContainerd(t) // it would notice, and clean up through `rtshield delete`
	testhost.Kill9(t, shim, pid)
	testhost.Ended(t, patience, pid)
	if theGrant(t).State != "stale" {
		t.Errorf("its owner is dead, status says %+v", theGrant(t))
	}
	out, err := engine.admin("reconcile").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "released "+c.short()) {
		t.Errorf("%v: %s", err, out)
	}
	if list := grants(t); len(list) > 0 {
		t.Errorf("still held: %+v", list)
	}
	if movable, _ := reaching(t, shieldedCPU()); len(movable) == 0 {
		t.Error("the interrupts have not come back")
	}
	goOn()
}

// stopContainerd holds the daemon's containerd with SIGSTOP.
func stopContainerd(t *testing.T) (goOn func()) {
	t.Helper()
	pid, err := strconv.Atoi(read(t, engine.path("exec/containerd/containerd.pid")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

func TestWithoutItsShimItIsNotLeftAlone(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	pid := c.pid(t)
	testhost.Kill9(t, c.shim(t))
	// containerd notices, and cleans up with `delete --force`: through rtshield.
	testhost.Ended(t, patience, pid)
	released(t)
	waitFor(t, c, ".State.Status", "exited")
	ok(t, "start", c.id)
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)
}

// waitFor waits until docker inspect says so.
func waitFor(t *testing.T, c container, what, want string) {
	t.Helper()
	testhost.Eventually(t, patience, func() error {
		if got := c.inspect(t, what); got != want {
			return fmt.Errorf("%s of %s is %s, want %s", what, c.short(), got, want)
		}
		return nil
	})
}
