//go:build vmguest

package systemd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// TestAnIrqbalanceWithoutASocketIsToldByItsFile takes irqbalance its directory: it then listens at an abstract address in
// the network namespace that Debian's unit gives it (PrivateNetwork=yes), where nobody reaches it.
func TestAnIrqbalanceWithoutASocketIsToldByItsFile(t *testing.T) {
	const file, dir = "/etc/default/irqbalance", "/run/systemd/system/irqbalance.service.d"
	before, settings := text(t, file), snapshot.Take()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/nosocket.conf", "[Service]\nRuntimeDirectory=\n")
	t.Cleanup(func() {
		run(t, "systemctl", "stop", "irqbalance")
		_ = os.RemoveAll(dir)
		run(t, "systemctl", "daemon-reload")
		for path, was := range settings {
			if strings.HasPrefix(path, "/proc/irq/") {
				_ = os.WriteFile(path, []byte(was), 0) // the kernel refuses those that it manages
			}
		}
	})
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "start", "irqbalance")
	first := mainPID(t, "irqbalance")
	bans := func(list string) error {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", mainPID(t, "irqbalance")))
		has := strings.Contains("\x00"+string(environ), "\x00IRQBALANCE_BANNED_CPULIST="+list+"\x00")
		if err == nil && !has {
			err = fmt.Errorf("irqbalance was started with %q", environ)
		}
		return err
	}

	const killed = "/etc/default/.irqbalance4711" // as a process leaves it that is killed while it writes
	put(t, killed, "half a")

	c := shielded(t)
	grant := c.grant(t)
	if err := bans(heldBy(grant).String()); err != nil {
		t.Error(err)
	}
	second := mainPID(t, "irqbalance")
	if second == first || text(t, file) == before {
		t.Errorf("irqbalance was pid %d, is %d, and its file\n%s", first, second, text(t, file))
	}
	for _, limit := range grant.Limits {
		if strings.Contains(limit.What, "irqbalance") {
			t.Errorf("limit: %s", limit)
		}
	}
	run(t, "rtshield", "reconcile")
	if again := mainPID(t, "irqbalance"); again != second {
		t.Error("it was restarted for nothing")
	}
	run(t, "docker", "stop", c.id)
	ended(t)
	if now := text(t, file); now != before {
		t.Errorf("%s is\n%s\nand was\n%s", file, now, before)
	}
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", killed, err)
	}
	if bans(heldBy(grant).String()) == nil {
		t.Error("irqbalance still leaves out what nobody holds")
	}
	if last := mainPID(t, "irqbalance"); last == second {
		t.Error("irqbalance was not restarted at the end")
	}
}
