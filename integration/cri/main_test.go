// Package cri_test is a kubelet: it leads pods through the CRI of a real containerd and of a real CRI-O, whose runtime handlers
// are rtshield. Every test compares the host with what it was.
package cri_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

func init() { runtime.LockOSThread() } // the engines end with the thread that started them

const containerdName, crioName = "containerd", "crio"

// engines are one of each, for all tests; engine is that of the test that runs.
var (
	engines = map[string]*daemon{}
	engine  *daemon
)

// on runs a test with one of the engines.
func on(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		engine = engines[name]
		unchanged(t)
		test(t)
	})
}

// each runs it with every one.
func each(t *testing.T, test func(t *testing.T)) {
	on(t, containerdName, test)
	on(t, crioName, test)
}

func TestMain(m *testing.M) { os.Exit(withEngines(m)) }

func withEngines(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "integration/cri:", err)
		return 1
	}
	if os.Geteuid() != 0 {
		return fail(fmt.Errorf("%s", testhost.NotRoot))
	}
	if err := testhost.Alone(); err != nil {
		return fail(err)
	}
	before := snapshot.Take()
	var err error
	for _, name := range []string{containerdName, crioName} {
		if err == nil {
			if engine, err = newDaemon(name); engine != nil {
				engines[name] = engine
			}
		}
		if err == nil {
			err = engine.open()
		}
	}
	if err == nil {
		code = m.Run()
	}
	for _, engine := range engines {
		if stopErr := engine.stop(); stopErr != nil {
			code = fail(stopErr)
		}
	}
	if err != nil {
		return fail(err)
	}
	if lines := snapshot.Diff(before, snapshot.Take()); len(lines) > 0 {
		return fail(fmt.Errorf("the host is not as it was before the engines:\n  %s", strings.Join(lines, "\n  ")))
	}
	return code
}
