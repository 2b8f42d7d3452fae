// Package docker_test runs rtshield under a Docker daemon of its own: what people do with `docker run`, and what may
// go wrong around it. Every test compares the host with what it was.
package docker_test

import (
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

func init() { runtime.LockOSThread() } // see startDaemon

// engine is the one daemon of all tests.
var engine *daemon

func TestMain(m *testing.M) { os.Exit(withDaemon(m)) }

func withDaemon(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "integration/docker:", err)
		return 1
	}
	if os.Geteuid() != 0 {
		return fail(fmt.Errorf("%s", testhost.NotRoot))
	}
	if err := testhost.Alone(); err != nil {
		return fail(err)
	}
	if err := nobodyShields(); err != nil {
		return fail(err)
	}
	before := snapshot.Take()
	var err error
	engine, err = startDaemon()
	if err == nil {
		err = engine.makeImages()
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, engine.lastWords())
	} else {
		code = m.Run()
	}
	if stopErr := engine.stop(); stopErr != nil {
		code = fail(stopErr)
	}
	if err != nil {
		return fail(err)
	}
	if lines := snapshot.Diff(before, snapshot.Take()); len(lines) > 0 {
		return fail(fmt.Errorf("the host is not as it was before the daemon:\n  %s", strings.Join(lines, "\n  ")))
	}
	return code
}

// nobodyShields: where somebody has taken the last CPU already, or left it so, these tests would compare with that.
func nobodyShields() error {
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/irq/default_smp_affinity")
	if err != nil {
		return err
	}
	cpus, digits := parse(string(online)).List(), strings.ReplaceAll(strings.TrimSpace(string(text)), ",", "")
	var mask big.Int
	if _, right := mask.SetString(digits, 16); !right || mask.Bit(cpus[len(cpus)-1]) == 0 {
		return fmt.Errorf("/proc/irq/default_smp_affinity is %s before the first test: somebody shields CPU %d, or has left it so",
			digits, cpus[len(cpus)-1])
	}
	return nil
}
