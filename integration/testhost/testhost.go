// Package testhost is what the integration suites share: the programs under test, a policy file, and the proof that a
// test leaves the host as it found it.
package testhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// NotRoot is what suites say to a user who is not root.
const NotRoot = "must run as root: these tests start containers and change CPU sets, interrupt affinities and scheduling policies (sudo make test)"

// RequireRoot fails, and does not skip: a suite that tested nothing must not look as if it had passed.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal(NotRoot)
	}
}

// Eventually calls try until it gives nil, and fails with its last error when the time is over. For what becomes true
// on its own: never for what the call before has promised.
func Eventually(t testing.TB, timeout time.Duration, try func() error) {
	t.Helper()
	if err := Poll(timeout, try); err != nil {
		t.Fatal(err)
	}
}

// Poll is Eventually for where there is no test, such as TestMain.
func Poll(timeout time.Duration, try func() error) error {
	timeout *= time.Duration(Slower())
	deadline := time.Now().Add(timeout)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %v: %w", timeout, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Slower is how many times longer everything may take than on a host: RTSHIELD_TEST_SLOW, which emulated machines set, or 1.
func Slower() int {
	times, err := strconv.Atoi(os.Getenv("RTSHIELD_TEST_SLOW"))
	if err != nil {
		return 1
	}
	return max(1, times)
}

// Root is the product's directory: a test runs in that of its package, which may be in a module of its own below.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd/rtshield")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no cmd/rtshield above %s", start)
		}
	}
}
