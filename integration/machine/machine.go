// Package machine names the tasks that run the machine which tests and demo run on. They are never moved: whoever runs
// these programs is among them.
package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Exempt gives [layout] exempt: the names of all processes of now, but for kernel threads and those called like this
// program, whose children are the tests' and the demo's own.
func Exempt() []string {
	self, _ := os.ReadFile("/proc/self/comm")
	var names []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		if _, err := os.Readlink(filepath.Join(dir, "exe")); err != nil {
			continue // a kernel thread, or ended
		}
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		name := strings.TrimSuffix(string(comm), "\n")
		if err != nil || name == "" || string(comm) == string(self) {
			continue
		}
		names = append(names, literal.Replace(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// literal makes a name a glob that fits only itself.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
