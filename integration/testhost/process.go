package testhost

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Kill9 kills processes, one right after the other.
func Kill9(t testing.TB, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Errorf("kill -9 %d: %v", pid, err)
		}
	}
}

// Ended waits until a process runs no more, whether or not somebody has asked for its status. Its first thread may be a zombie
// while others still go, and with them its files are open and its locks held.
func Ended(t testing.TB, timeout time.Duration, pid int) {
	t.Helper()
	Eventually(t, timeout, func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && !(strings.Contains(string(status), "State:\tZ") && strings.Contains(string(status), "Threads:\t1\n")) {
			return fmt.Errorf("pid %d is still there", pid)
		}
		return nil
	})
}
