package rig

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"
)

// Sched reads a process's scheduling policy, from the host.
func (r *Rig) Sched(pid int) *unix.SchedAttr {
	r.Helper()
	attr, err := unix.SchedGetAttr(pid, 0)
	if err != nil {
		r.Fatalf("sched_getattr of %d: %v", pid, err)
	}
	return attr
}

// Runs fails unless a process has this policy, priority and CPUs.
func (r *Rig) Runs(pid int, policy, priority uint32, cpus string) {
	r.Helper()
	if attr := r.Sched(pid); attr.Policy != policy || attr.Priority != priority {
		r.Errorf("pid %d has policy %d, priority %d; want %d, %d", pid, attr.Policy, attr.Priority, policy, priority)
	}
	if now := r.Allowed(pid); now != cpus {
		r.Errorf("pid %d may run on CPU %s, want %s", pid, now, cpus)
	}
}

// Allowed is Cpus_allowed_list of a process.
func (r *Rig) Allowed(pid int) string {
	r.Helper()
	for line := range strings.Lines(r.Text("/proc/" + strconv.Itoa(pid) + "/status")) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			return strings.TrimSpace(list)
		}
	}
	r.Fatalf("no Cpus_allowed_list of %d", pid)
	return ""
}

// Environ is a process's environment as it was started with.
func (r *Rig) Environ(pid int) []string {
	r.Helper()
	return strings.Split(r.Text("/proc/"+strconv.Itoa(pid)+"/environ"), "\x00")
}

// MovableIRQs lists the interrupts that may reach a CPU although they could be moved. A file that nobody may write marks
// one that the kernel manages itself (since Linux 6.12). Read again before it counts, see AsBefore.
func (r *Rig) MovableIRQs(cpu int) []string {
	r.Helper()
	reaching := r.movableIRQs(cpu)
	if len(reaching) > 0 {
		time.Sleep(50 * time.Millisecond)
		reaching = r.movableIRQs(cpu)
	}
	return reaching
}

func (r *Rig) movableIRQs(cpu int) []string {
	r.Helper()
	files, _ := filepath.Glob("/proc/irq/*/smp_affinity_list")
	if len(files) == 0 {
		r.Fatal("this host shows no interrupts")
	}
	var reaching []string
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o200 == 0 {
			continue
		}
		cpus, err := cpuset.Parse(r.Text(file))
		if err != nil {
			r.Fatalf("%s: %v", file, err)
		}
		if cpus.Contains(cpu) {
			reaching = append(reaching, filepath.Base(filepath.Dir(file)))
		}
	}
	mask, err := strconv.ParseUint(strings.ReplaceAll(r.Text("/proc/irq/default_smp_affinity"), ",", ""), 16, 64)
	if err != nil {
		r.Fatal(err)
	}
	if mask>>cpu&1 == 1 {
		reaching = append(reaching, "default")
	}
	return reaching
}

// OfOurs lists the live processes whose program is rtshield.
func (r *Rig) OfOurs() []string {
	r.Helper()
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	var pids []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == r.Rtshield {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}
