package testhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"
)

// Read reads a file of the kernel's, without the white space around.
func Read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// Parse reads a list of CPUs.
func Parse(t testing.TB, list string) cpuset.CPUSet {
	t.Helper()
	set, err := cpuset.Parse(strings.TrimSpace(list))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Schedule is what the kernel says of a process: "FIFO 50 on 1".
func Schedule(t testing.TB, pid int) string {
	t.Helper()
	attr, err := unix.SchedGetAttr(pid, 0)
	if err != nil {
		t.Fatalf("pid %d: %v", pid, err)
	}
	policy := map[uint32]string{unix.SCHED_NORMAL: "OTHER", unix.SCHED_FIFO: "FIFO", unix.SCHED_RR: "RR"}[attr.Policy]
	return fmt.Sprintf("%s %d on %s", policy, attr.Priority, Allowed(Read(t, fmt.Sprintf("/proc/%d/status", pid))))
}

// Allowed takes Cpus_allowed_list out of a status file.
func Allowed(status string) string {
	for line := range strings.Lines(status) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return strings.TrimSpace(list)
		}
	}
	return "?"
}

// Tell is a shell command by which a container says of its first process what Schedule says, TellSelf of the shell.
const (
	Tell     = `grep Cpus_allowed_list /proc/1/status; cut -d' ' -f40,41 /proc/1/stat`
	TellSelf = `grep Cpus_allowed_list /proc/$$/status; cut -d' ' -f40,41 /proc/$$/stat`
)

// Told turns what Tell printed into Schedule's words. Fields 40 and 41 of /proc/PID/stat are rt_priority and policy
// (proc(5)).
func Told(t testing.TB, out string) string {
	t.Helper()
	var priority, policy int
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if _, err := fmt.Sscan(lines[len(lines)-1], &priority, &policy); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	name := map[int]string{0: "OTHER", 1: "FIFO", 2: "RR"}[policy]
	return fmt.Sprintf("%s %d on %s", name, priority, Allowed(out))
}

// Reaching gives the interrupts that may arrive on a CPU: those that can be moved, and those that the kernel manages
// itself. Linux 6.12 and later show in the file's mode which are which.
func Reaching(t testing.TB, cpus string) (movable, managed []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/irq/*/smp_affinity_list")
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if Parse(t, Read(t, file)).Intersection(Parse(t, cpus)).IsEmpty() {
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
