// Package machine names the tasks that run the machine which tests and demo run on. They are never moved: whoever runs
// these programs is among them.
package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Exempt gives [layout] exempt: the names of all processes of now, but for kernel threads, those called like this program,
// and those that came of it: they are the tests' and the demo's own, and what is left of the last test's containers must not
// make those of the next one exempt.
func Exempt() []string {
	self, _ := os.ReadFile("/proc/self/comm")
	var names []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		// Not by its program: that of PID 1 may not be there any more.
		if stat, err := os.ReadFile(filepath.Join(dir, "stat")); err != nil || ofKernel(string(stat)) || ours(string(stat)) {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		name := strings.TrimSuffix(string(comm), "\n")
		if err != nil || name == "" || string(comm) == string(self) || strings.HasPrefix(name, "runc:[") {
			continue // the last is a container that somebody creates just now: exempt by that name would be ours too
		}
		names = append(names, literal.Replace(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// literal makes a name a glob that fits only itself.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// ofKernel says whether a line of /proc/PID/stat is a kernel thread's: flags, the ninth field of proc(5), has PF_KTHREAD.
func ofKernel(stat string) bool {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 7 {
		return false
	}
	flags, _ := strconv.ParseUint(fields[6], 10, 64)
	return flags&0x00200000 != 0
}

// ours says whether a line of /proc/PID/stat is of a process that came of this one, or of one that has ended.
func ours(stat string) bool {
	self := strconv.Itoa(os.Getpid())
	for range 64 { // the process tree is not as deep, and may change meanwhile
		fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
		if len(fields) < 2 || fields[0] == "Z" || fields[1] == self {
			return len(fields) >= 2
		}
		above, err := os.ReadFile("/proc/" + fields[1] + "/stat")
		if err != nil {
			return false
		}
		stat = string(above)
	}
	return false
}
