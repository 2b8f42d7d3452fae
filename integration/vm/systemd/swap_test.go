//go:build vmguest

package systemd_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestAShieldedContainerIsNotSwappedOut(t *testing.T) {
	unchanged(t)
	const file = "/swapfile"
	run(t, "busybox", "dd", "if=/dev/zero", "of="+file, "bs=1M", "count=8")
	run(t, "busybox", "mkswap", file)
	if err := unix.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "busybox", "swapon", file)
	t.Cleanup(func() { run(t, "busybox", "swapoff", file) })
	c := shielded(t)
	if now := text(t, c.cgroup()+"/memory.swap.max"); now != "0" {
		t.Errorf("memory.swap.max is %q", now)
	}
	ordinary := start(t)
	if now := text(t, ordinary.cgroup()+"/memory.swap.max"); now != "max" {
		t.Errorf("memory.swap.max of an ordinary container is %q", now)
	}
}
