package docker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// unchanged compares the host, and that nothing is left in the ledger, when the test is over.
func unchanged(t *testing.T) {
	t.Helper()
	testhost.HostUnchanged(t, engine.policy.Ledger())
}

// schedule is what the kernel says of a process: "FIFO 50 on 1".
func schedule(t *testing.T, pid int) string {
	t.Helper()
	attr, err := unix.SchedGetAttr(pid, 0)
	if err != nil {
		t.Fatalf("pid %d: %v", pid, err)
	}
	policy := map[uint32]string{unix.SCHED_NORMAL: "OTHER", unix.SCHED_FIFO: "FIFO", unix.SCHED_RR: "RR"}[attr.Policy]
	return fmt.Sprintf("%s %d on %s", policy, attr.Priority, allowed(read(t, fmt.Sprintf("/proc/%d/status", pid))))
}

// allowed takes Cpus_allowed_list out of a status file.
func allowed(status string) string {
	for line := range strings.Lines(status) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return strings.TrimSpace(list)
		}
	}
	return "?"
}

func fifo() string     { return "FIFO 50 on " + shieldedCPU() }
func ordinary() string { return "OTHER 0 on " + all() }

// scheduled fails unless the container's first process runs as want.
func scheduled(t *testing.T, c container, want string) {
	t.Helper()
	if got := schedule(t, c.pid(t)); got != want {
		t.Fatalf("container %s runs %s, want %s", c.short(), got, want)
	}
}

// tell is a shell command by which a container says of its first process what schedule says.
const tell = `grep Cpus_allowed_list /proc/1/status; cut -d' ' -f40,41 /proc/1/stat`

// told turns what tell printed into schedule's words. Fields 40 and 41 of /proc/PID/stat are rt_priority and policy
// (proc(5)).
func told(t *testing.T, out string) string {
	t.Helper()
	var priority, policy int
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if _, err := fmt.Sscan(lines[len(lines)-1], &priority, &policy); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	name := map[int]string{0: "OTHER", 1: "FIFO", 2: "RR"}[policy]
	return fmt.Sprintf("%s %d on %s", name, priority, allowed(out))
}

// cgroupFile is a file of the container's cgroup: in a controller's own hierarchy, or in the unified one.
func (c container) cgroupFile(t *testing.T, controller, file string) string {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		controller = ""
	}
	return read(t, filepath.Join("/sys/fs/cgroup", controller, engine.cgroup, c.id, file))
}

// reaching gives the interrupts that may arrive on a CPU: those that can be moved, and those that the kernel manages
// itself. Linux 6.12 and later show in the file's mode which are which.
func reaching(t *testing.T, cpus string) (movable, managed []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/irq/*/smp_affinity_list")
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if parse(read(t, file)).Intersection(parse(cpus)).IsEmpty() {
			continue
		}
		irq := filepath.Base(filepath.Dir(file))
		if info.Mode().Perm()&0o200 == 0 {
			managed = append(managed, irq)
		} else {
			movable = append(movable, irq)
		}
	}
	return movable, managed
}
