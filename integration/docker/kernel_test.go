package docker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
)

// shieldedCPU is the one CPU of the shield.
func shieldedCPU() string {
	list := engine.online.List()
	return fmt.Sprint(list[len(list)-1])
}

// others are the CPUs beside it, all every CPU of the host.
func others() string { return engine.online.Difference(parse(shieldedCPU())).String() }
func all() string    { return engine.online.String() }

func parse(list string) cpuset.CPUSet {
	set, err := cpuset.Parse(strings.TrimSpace(list))
	if err != nil {
		panic(err)
	}
	return set
}

func read(t *testing.T, path string) string { t.Helper(); return testhost.Read(t, path) }

// unchanged compares the host, and that nothing is left in the ledger, when the test is over.
func unchanged(t *testing.T) {
	t.Helper()
	testhost.HostUnchanged(t, engine.policy.Ledger())
}

func schedule(t *testing.T, pid int) string { t.Helper(); return testhost.Schedule(t, pid) }

func fifo() string     { return "FIFO 50 on " + shieldedCPU() }
func ordinary() string { return "OTHER 0 on " + all() }

// scheduled fails unless the container's first process runs as want.
func scheduled(t *testing.T, c container, want string) {
	t.Helper()
	if got := schedule(t, c.pid(t)); got != want {
		t.Fatalf("container %s runs %s, want %s", c.short(), got, want)
	}
}

const tell = testhost.Tell

func told(t *testing.T, out string) string { t.Helper(); return testhost.Told(t, out) }

// cgroupFile is a file of the container's cgroup: in a controller's own hierarchy, or in the unified one.
func (c container) cgroupFile(t *testing.T, controller, file string) string {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		controller = ""
	}
	return read(t, filepath.Join("/sys/fs/cgroup", controller, engine.Cgroup, c.id, file))
}

func reaching(t *testing.T, cpus string) (movable, managed []string) {
	t.Helper()
	return testhost.Reaching(t, cpus)
}
