//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// partitions says whether this kernel has remote partitions (Linux 6.7) here (cgroup v2).
func partitions() bool {
	_, err := os.Stat(mount + parent + "/cpuset.cpus.exclusive")
	return unified() && err == nil
}

// noPartition says why no partition is made here, "" where one is.
func noPartition(t testing.TB) string {
	switch {
	case !partitions():
		return "remote partitions take cgroup v2 and Linux 6.7"
	case isolated(t):
		return "CPUs of isolcpus= are in no partition"
	}
	return ""
}

func TestTheLevelIsTheStrongestThatTheKernelHas(t *testing.T) {
	each(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		if why := noPartition(r); why != "" {
			if grant.Level != "cpuset" {
				r.Errorf("level %s, though %s", grant.Level, why)
			}
			r.Logf("limit: level %s: %s", grant.Level, why)
			return
		}
		if kind := r.knob("a", "cpuset.cpus.partition"); grant.Level != "partition" || kind != "isolated" {
			r.Errorf("level %s, cpuset.cpus.partition %q", grant.Level, kind)
		}
		if lent := r.knob("a", "cpuset.cpus.exclusive.effective"); lent != grant.CPUs.String() {
			r.Errorf("exclusive are %q, granted %s", lent, grant.CPUs)
		}
	})
}

func TestSeveralCPUsAreARootPartitionUnlessAskedOtherwise(t *testing.T) {
	once(t, func(r *rig) {
		if why := noPartition(r); why != "" {
			r.Skip(why)
		}
		r.begin("run", "two", class("fifo"), annotate("cpus", "2"))
		if kind := r.knob("two", "cpuset.cpus.partition"); kind != "root" {
			r.Errorf("cpuset.cpus.partition of two CPUs is %q, want root", kind)
		}
		r.end("two")
		r.begin("run", "asked", class("fifo"), annotate("cpus", "2", "partition", "isolated"))
		if kind := r.knob("asked", "cpuset.cpus.partition"); kind != "isolated" {
			r.Errorf("cpuset.cpus.partition is %q where isolated was asked for", kind)
		}
	})
}

func TestNoTaskOutsideMayUseGrantedCPUs(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		held := grant.CPUs.Union(grant.Idle.CPUSet)
		limits := ""
		for _, limit := range grant.Limits {
			limits += limit.String() + "\n"
		}
		var unnamed []string
		for _, thread := range strays(r, held) {
			switch {
			case !thread.kernel:
				r.Errorf("thread %s (%s) may run on CPU %s; held is %s", thread.id, thread.name, thread.cpus, held)
			case !strings.Contains(limits, strings.SplitN(thread.name, "/", 2)[0]):
				unnamed = append(unnamed, fmt.Sprintf("%s on %s", thread.name, thread.cpus))
			}
		}
		if len(unnamed) > 0 {
			r.Errorf("no limit names these kernel threads, which may run on CPU %s: %s", held, strings.Join(unnamed, ", "))
		}
		if mask := r.maskOf(text(r, "/sys/devices/virtual/workqueue/cpumask")); !mask.Intersection(held).IsEmpty() {
			r.Errorf("unbound work may run on CPU %s, held is %s", mask, held)
		}
		r.Log("limit: kernel threads of the CPUs themselves, each named in status, stay")
	})
}

type thread struct {
	id, name string
	cpus     cpuset.CPUSet
	kernel   bool
}

// strays are the threads outside of the rig's containers that may run on held.
func strays(r *rig, held cpuset.CPUSet) []thread {
	r.Helper()
	var found []thread
	dirs, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, dir := range dirs {
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // it has ended
		}
		one, ended := thread{id: filepath.Base(dir)}, false
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch key {
			case "Name":
				one.name = strings.TrimSpace(value)
			case "State":
				ended = strings.HasPrefix(strings.TrimSpace(value), "Z")
			case "Cpus_allowed_list":
				one.cpus = parse(r, strings.TrimSpace(value))
			case "Kthread": // Linux 6.10
				one.kernel = strings.TrimSpace(value) == "1"
			}
		}
		if exe, err := os.Readlink(dir + "/exe"); err != nil || exe == "" {
			one.kernel = true
		}
		cgroup, _ := os.ReadFile(dir + "/cgroup")
		if ended || strings.Contains(string(cgroup), parent+"/") || one.cpus.Intersection(held).IsEmpty() {
			continue
		}
		found = append(found, one)
	}
	return found
}
