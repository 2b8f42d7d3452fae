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

// trees are read whole: every regular file below that somebody may write.
var trees = []string{
	"/proc/irq",
	"/sys/devices/virtual/workqueue",
	"/sys/devices/system/cpu/cpufreq/policy*",
	"/sys/devices/system/cpu/cpu*/power",
	"/sys/devices/system/cpu/cpu*/cpuidle",
	"/sys/devices/system/node/node*/hugepages",
	"/sys/class/net/*/queues",
	"/sys/kernel/debug/sched/fair_server", // where debugfs is mounted
	"/sys/fs/cgroup",
	"/run/systemd/system.control", // what `systemctl set-property --runtime` wrote
}

// files are settings with a place of their own, and those that are read although nobody may write them: since Linux 6.12
// the kernel shows the interrupts that it manages so. A setting that rtshield learns to change belongs here, or below one
// of the trees, in the same commit.
var files = []string{
	"/proc/irq/*/smp_affinity_list",
	"/proc/sys/kernel/watchdog_cpumask",
	"/etc/default/irqbalance",
}

// restless files may be written and change by themselves, or give no setting when read.
var restless = []string{
	"cgroup.procs", "cgroup.threads", "tasks", // who is in it: TakeThreads looks at everybody
	"*.pressure", "cpuacct.usage", "*.failcnt", "*.max_usage_in_bytes", "*.peak", "memory.oom_control", // counters
	"smp_affinity",       // smp_affinity_list once more
	"limit", "stall_max", // byte_queue_limits: what the network stack found best, and a counter
}

// Take reads every setting there is on this host, and the extra files that exist.
// What cannot be read, or is gone between listing and reading (a container that
// ends), is left out: Diff then names it as gone if it was there before.
func Take(extra ...string) Snapshot {
	return takeAt("", extra...)
}

// takeAt is Take below another root directory; the paths in the result have no root.
func takeAt(root string, extra ...string) Snapshot {
	s := takeTrees(root, trees)
	for _, path := range glob(root, append(files, extra...)) {
		s.read(root, path)
	}
	return s
}

// TakeBelow reads only the settings below the directories that fit a pattern.
func TakeBelow(patterns ...string) Snapshot { return takeTrees("", patterns) }

func (s Snapshot) read(root, path string) {
	if content, err := os.ReadFile(path); err == nil {
		s[strings.TrimPrefix(path, root)] = strings.TrimSuffix(string(content), "\n")
	}
}

func takeTrees(root string, trees []string) Snapshot {
	s := Snapshot{}
	for _, tree := range glob(root, trees) {
		// The walk does not follow links (cpu -> cpu,cpuacct), so nothing is counted twice.
		_ = filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || isRestless(entry.Name()) {
				return nil //nolint:nilerr // gone since it was listed
			}
			if info, err := entry.Info(); err == nil && info.Mode().Perm()&0o222 != 0 {
				s.read(root, path)
			}
			return nil
		})
	}
	return s
}

func glob(root string, patterns []string) []string {
	var paths []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(root + pattern) // the only error is a bad pattern
		paths = append(paths, matches...)
	}
	return paths
}

func isRestless(name string) bool {
	return slices.ContainsFunc(restless, func(pattern string) bool {
		match, _ := filepath.Match(pattern, name)
		return match
	})
}

// unifiedRoot is there on cgroup v2 alone.
const unifiedRoot = "/sys/fs/cgroup/cgroup.subtree_control"

// ofOtherController says whether a file is of a cgroup in a v1 hierarchy without cpu and cpuset. rtshield makes none
// there, but other programs do while a test runs: whoever started it may be in one.
func ofOtherController(path string) bool {
	below, found := strings.CutPrefix(path, "/sys/fs/cgroup/")
	hierarchy, file, _ := strings.Cut(below, "/")
	return found && strings.Contains(file, "/") && !strings.HasPrefix(hierarchy, "cpuset") && !strings.HasPrefix(hierarchy, "cpu,") && hierarchy != "cpu"
}

// Diff lists what is different in after, one line a setting, sorted by path; nil
// when all is as before. A cgroup that came or went counts, also when another
// program made it: who uses Diff on a busy host filters by path.
func Diff(before, after Snapshot) []string {
	var lines []string
	_, v2 := before[unifiedRoot]
	passing := func(path string) bool { return !v2 && ofOtherController(path) }
	for path, was := range before {
		is, there := after[path]
		switch {
		case !there && passing(path):
		case !there:
			lines = append(lines, fmt.Sprintf("%s: was %q, is gone", path, was))
		case is != was:
			lines = append(lines, fmt.Sprintf("%s: was %q, is %q", path, was, is))
		}
	}
	for path, is := range after {
		if _, there := before[path]; !there && !passing(path) {
			lines = append(lines, fmt.Sprintf("%s: was not there, is %q", path, is))
		}
	}
	slices.Sort(lines)
	return lines
}
