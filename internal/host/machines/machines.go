// Package machines has the topologies of real machines, as compact sysfs trees for tests. They are written after what lscpu
// and lstopo show of these machines, with the files that the kernels named there have.
//
// A line is "path = text" or "path -> where a link points", below sys/devices/system unless the path begins with /sys. A
// path may have numbers in brackets, in groups that are lists as the kernel writes them: cpu[0-1 2-3] stands for four
// paths. The text @ is the group that the number is in.
package machines

import (
	"embed"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

//go:embed *.txt
var texts embed.FS

// Names lists them.
func Names(tb testing.TB) []string {
	tb.Helper()
	entries, err := texts.ReadDir(".")
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".txt"))
	}
	return names
}

// Tree makes one machine's files.
func Tree(tb testing.TB, name string) host.Root {
	tb.Helper()
	text, err := texts.ReadFile(name + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	// In memory, as /sys is: the largest have thousands of files.
	dir, err := os.MkdirTemp("/dev/shm", "rtshield-machine-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if path, target, isLink := strings.Cut(line, " -> "); isLink {
			if err := os.Symlink(target, place(tb, dir, path)); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		pattern, value, _ := strings.Cut(line, " =")
		for path, group := range expand(tb, pattern) {
			content := strings.TrimSpace(value)
			if content == "@" {
				content = group
			}
			if err := os.WriteFile(place(tb, dir, path), []byte(content+"\n"), 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return host.Root(dir)
}

// place gives where a path goes, in a directory that is there.
func place(tb testing.TB, dir, path string) string {
	tb.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/sys/devices/system/" + path
	}
	path = filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	return path
}

// expand gives each path with its group.
func expand(tb testing.TB, path string) map[string]string {
	tb.Helper()
	before, rest, found := strings.Cut(path, "[")
	if !found {
		return map[string]string{path: ""}
	}
	groups, after, _ := strings.Cut(rest, "]")
	paths := map[string]string{}
	for group := range strings.FieldsSeq(groups) {
		set, err := cpuset.Parse(group)
		if err != nil {
			tb.Fatal(err)
		}
		for _, number := range set.List() {
			paths[before+strconv.Itoa(number)+after] = group
		}
	}
	return paths
}
