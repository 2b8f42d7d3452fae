package docker_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/testhost"
)

// restore turns live-restore on or off, as an administrator does: daemon.json and SIGHUP.
func restore(t *testing.T, on bool) {
	t.Helper()
	engine.liveRestore = on
	if err := engine.configure("runc"); err != nil {
		t.Fatal(err)
	}
	if err := engine.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testhost.Eventually(t, patience, func() error {
		if got := ok(t, "info", "--format", "{{.LiveRestoreEnabled}}"); got != strconv.FormatBool(on) {
			return &unexpected{"live-restore", got, strconv.FormatBool(on)}
		}
		return nil
	})
}

// killDaemon ends dockerd and its containerd as a crash does. The latter becomes our child: dockerd takes a zombie, as an
// init that is slow leaves it, for one that runs.
func killDaemon(t *testing.T) {
	t.Helper()
	containerd, err := strconv.Atoi(read(t, engine.path("exec/containerd/containerd.pid")))
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	if err := engine.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-engine.exited
	_ = unix.Kill(containerd, unix.SIGKILL) // it may have gone with dockerd
	if _, err := unix.Wait4(containerd, nil, 0, nil); err != nil {
		t.Errorf("containerd, pid %d: %v", containerd, err)
	}
}

// What an upgrade of the engine does, too. Its containerd ends with it.
func TestAKilledDaemonFindsTheShieldAsItWas(t *testing.T) {
	unchanged(t)
	restore(t, true)
	t.Cleanup(func() { restore(t, false) })
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	pid := c.pid(t)
	killDaemon(t)
	if got := schedule(t, pid); got != fifo() {
		t.Errorf("without a daemon it runs %s", got)
	}
	if grant := theGrant(t); grant.PID != pid || grant.State != "bound" {
		t.Errorf("without a daemon the grant is %+v", grant)
	}
	if err := engine.launch(); err != nil {
		t.Fatalf("%v\n%s", err, engine.lastWords())
	}
	if now := c.pid(t); now != pid {
		t.Errorf("it was pid %d, is %d", pid, now)
	}
	scheduled(t, c, fifo())
	if grant := theGrant(t); grant.PID != pid {
		t.Errorf("the grant is %+v", grant)
	}
	ok(t, "exec", c.id, "true")
	ok(t, "update", "--memory", "64m", "--memory-swap", "64m", c.id)
	scheduled(t, c, fifo())
	ok(t, "restart", "-t", "5", c.id)
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)
	if list := grants(t); len(list) > 0 {
		t.Errorf("still held: %+v", list)
	}
}

// dockerd starts another.
func TestAKilledContainerdFindsTheShieldAsItWas(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	pid := c.pid(t)
	was := read(t, engine.path("exec/containerd/containerd.pid"))
	number, err := strconv.Atoi(was)
	if err != nil {
		t.Fatal(err)
	}
	testhost.Kill9(t, number)
	testhost.Eventually(t, patience, func() error {
		if now := read(t, engine.path("exec/containerd/containerd.pid")); now == was {
			return fmt.Errorf("containerd still is pid %s", was)
		}
		_, err := engine.cli("exec", c.id, "true").succeeded()
		return err
	})
	if now := c.pid(t); now != pid {
		t.Errorf("it was pid %d, is %d", pid, now)
	}
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)
	if list := grants(t); len(list) > 0 {
		t.Errorf("still held: %+v", list)
	}
}
