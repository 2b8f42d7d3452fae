package testhost

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// HostUnchanged makes the test fail if the host's settings, or the extra files, differ after it from what they are now.
// Called first, it compares last: after the test's other clean-ups.
func HostUnchanged(t testing.TB, extra ...string) {
	t.Helper()
	RequireRoot(t)
	if err := Alone(); err != nil {
		t.Fatal(err)
	}
	before := snapshot.TakeHost(extra...)
	t.Cleanup(func() {
		if lines := before.Changed(); len(lines) > 0 {
			t.Errorf("the host is not as it was before the test:\n  %s", strings.Join(lines, "\n  "))
		}
	})
}

// Alone waits until no other suite uses this host's settings, and keeps others waiting until this process ends: two that
// each compare the host would see each other. `go test -p 1` does the same within one run.
var Alone = sync.OnceValue(func() error {
	file, err := os.OpenFile("/run/rtshield-tests.lock", os.O_CREATE|os.O_RDWR, 0o600) // close-on-exec
	if err != nil {
		return err
	}
	held = file
	said := false
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		case !said:
			said = true
			fmt.Fprintln(os.Stderr, "waiting for another suite that uses this host's settings:", file.Name())
		}
	}
	return fmt.Errorf("%s: another suite has had it for 10 minutes", file.Name())
})

// held keeps the lock's file from the garbage collector, which would close it.
var held *os.File
