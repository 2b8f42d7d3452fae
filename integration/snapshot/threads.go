package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Threads maps every thread of the host, by id and start time, to its name and the CPUs that it may run on.
type Threads map[string]string

// TakeThreads reads them all.
func TakeThreads() Threads {
	threads := Threads{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*") // the only error is a bad pattern
	for _, dir := range dirs {
		stat, err := os.ReadFile(dir + "/stat")
		end := strings.LastIndex(string(stat), ") ")
		status, errStatus := os.ReadFile(dir + "/status")
		if err != nil || errStatus != nil || end < 0 {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[end+2:]))
		_, list, found := strings.Cut(string(status), "Cpus_allowed_list:")
		if len(fields) < 20 || !found {
			continue
		}
		list, _, _ = strings.Cut(list, "\n")
		if strings.ContainsAny(fields[0], "ZX") { // it has ended, and nobody can give it back what it had
			continue
		}
		// The kernel's own to move: bound threads (PF_NO_SETAFFINITY), and those that follow their interrupt.
		flags, _ := strconv.ParseUint(fields[6], 10, 64)
		if flags&0x04000000 != 0 || flags&0x00200000 != 0 && strings.Contains(string(stat), "(irq/") {
			continue
		}
		threads[filepath.Base(dir)+" "+fields[19]] = strings.TrimSpace(list)
	}
	return threads
}

// Moved lists the threads of before that still run and may run on other CPUs now.
func (before Threads) Moved(now Threads) []string {
	var moved []string
	for thread, was := range before {
		if is, lives := now[thread]; lives && is != was {
			tid, _, _ := strings.Cut(thread, " ")
			name, _ := os.ReadFile("/proc/" + tid + "/comm")
			moved = append(moved, fmt.Sprintf("thread %s (%s) could run on %s, now on %s", tid, strings.TrimSpace(string(name)), was, is))
		}
	}
	slices.Sort(moved)
	return moved
}
