// Package snapshot reads the settings of a host that rtshield may change, so that
// a test or the demo can prove that all are as before.
package snapshot

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Snapshot maps the path of a setting to its content, without the final newline.
type Snapshot map[string]string

// globs are the settings with a place of their own. A setting that rtshield learns
// to change belongs here, or in cgroupFiles, in the same commit.
var globs = []string{
	"/proc/irq/*/smp_affinity_list",
	"/proc/irq/default_smp_affinity",
	"/sys/devices/virtual/workqueue/cpumask",
	"/sys/devices/virtual/workqueue/*/cpumask",
	"/proc/sys/kernel/watchdog_cpumask",
	"/sys/class/net/*/queues/rx-*/rps_cpus",
	"/sys/class/net/*/queues/tx-*/xps_cpus",
	"/sys/devices/system/cpu/cpu*/power/pm_qos_resume_latency_us",
	"/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
	"/sys/devices/system/cpu/cpufreq/policy*/scaling_min_freq",
	"/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference",
	"/sys/kernel/debug/sched/fair_server/cpu*/runtime",
}

// cgroupFiles are the settings of every cgroup, in v1 hierarchies, v2 or both.
var cgroupFiles = map[string]bool{
	"cpu.rt_runtime_us":         true, // v1 with RT_GROUP_SCHED
	"cpuset.cpus":               true, // v1 and v2
	"cpuset.mems":               true, // v1 and v2
	"cpuset.cpu_exclusive":      true, // v1
	"cpuset.sched_load_balance": true, // v1
	"cpuset.cpus.exclusive":     true, // v2, kernel 6.7
	"cpuset.cpus.partition":     true, // v2; the root has none
}

// Take reads every setting there is on this host, and the extra files that exist.
// What cannot be read, or is gone between listing and reading (a container that
// ends), is left out: Diff then names it as gone if it was there before.
func Take(extra ...string) Snapshot {
	return takeAt("", extra...)
}

// takeAt is Take below another root directory; the paths in the result have no root.
func takeAt(root string, extra ...string) Snapshot {
	s := Snapshot{}
	read := func(path string) {
		if content, err := os.ReadFile(root + path); err == nil {
			s[path] = strings.TrimSuffix(string(content), "\n")
		}
	}
	for _, pattern := range globs {
		matches, _ := filepath.Glob(root + pattern) // the only error is a bad pattern
		for _, m := range matches {
			read(strings.TrimPrefix(m, root))
		}
	}
	// Where distributions and systemd mount them; the walk does not follow the
	// links (cpu -> cpu,cpuacct), so nothing is counted twice.
	_ = filepath.WalkDir(root+"/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && cgroupFiles[d.Name()] {
			read(strings.TrimPrefix(path, root))
		}
		return nil
	})
	for _, path := range extra {
		read(path)
	}
	return s
}

// Diff lists what is different in after, one line a setting, sorted by path; nil
// when all is as before. A cgroup that came or went counts, also when another
// program made it: who uses Diff on a busy host filters by path.
func Diff(before, after Snapshot) []string {
	var lines []string
	for path, was := range before {
		is, there := after[path]
		switch {
		case !there:
			lines = append(lines, fmt.Sprintf("%s: was %q, is gone", path, was))
		case is != was:
			lines = append(lines, fmt.Sprintf("%s: was %q, is %q", path, was, is))
		}
	}
	for path, is := range after {
		if _, there := before[path]; !there {
			lines = append(lines, fmt.Sprintf("%s: was not there, is %q", path, is))
		}
	}
	slices.Sort(lines)
	return lines
}
