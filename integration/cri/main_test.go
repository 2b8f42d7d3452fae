// Package cri_test is a kubelet: it leads pods through the CRI of a real containerd, whose runtime handlers are rtshield.
// Every test compares the host with what it was.
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

func init() { runtime.LockOSThread() } // containerd ends with the thread that started it

// engine is the one containerd of all tests.
var engine *daemon

func TestMain(m *testing.M) { os.Exit(withContainerd(m)) }

func withContainerd(m *testing.M) (code int) {
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
	engine, err = newContainerd()
	for _, step := range []func() error{func() error { return engine.launch() }, func() error { return engine.Import(nil, applets...) }, func() error { return engine.firstPod() }} {
		if err == nil {
			err = step()
		}
	}
	switch {
	case err == nil:
		code = m.Run()
	case engine != nil:
		err = fmt.Errorf("%w\n%s", err, engine.LastWords())
	}
	if stopErr := engine.stop(); stopErr != nil {
		code = fail(stopErr)
	}
	if err != nil {
		return fail(err)
	}
	if lines := snapshot.Diff(before, snapshot.Take()); len(lines) > 0 {
		return fail(fmt.Errorf("the host is not as it was before containerd:\n  %s", strings.Join(lines, "\n  ")))
	}
	return code
}
