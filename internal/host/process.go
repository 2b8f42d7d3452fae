package host

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// StartTime gives field 22 of /proc/PID/stat, in clock ticks since boot: with the pid it names one process for ever.
func (r Root) StartTime(pid int) (uint64, error) {
	_, start, err := r.stat(pid)
	return start, err
}

// Alive says whether the process that had this start time still runs. A zombie does not, unless it is only the first
// thread that has ended (pthread_exit in main) while others run on. One that cannot be looked at does: nobody is to lose
// his CPUs for want of a file descriptor of ours.
func (r Root) Alive(pid int, start uint64) bool {
	state, now, err := r.stat(pid)
	if err != nil {
		return !Gone(err)
	}
	if now != start {
		return false
	}
	if state != "Z" && state != "X" {
		return true
	}
	threads, err := os.ReadDir(r.Path("proc", strconv.Itoa(pid), "task"))
	return err == nil && len(threads) > 1 || err != nil && !Gone(err)
}

func (r Root) stat(pid int) (state string, start uint64, err error) {
	text, err := r.Read("proc", strconv.Itoa(pid), "stat")
	if err != nil {
		return "", 0, err
	}
	// The second field is the name in parentheses and may itself hold spaces and parentheses.
	_, rest, found := cutLast(text, ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return "", 0, fmt.Errorf("/proc/%d/stat: unexpected %q", pid, text)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err
}

func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// AllowedCPUs gives Cpus_allowed_list of a process: its affinity, already cut to its cpuset.
func (r Root) AllowedCPUs(pid int) (cpuset.CPUSet, error) {
	list, err := r.StatusField(pid, "Cpus_allowed_list")
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return cpuset.Parse(list)
}

// StatusField gives one line of /proc/PID/status, by its name, of a process or thread; fs.ErrNotExist where the kernel has
// no such line.
func (r Root) StatusField(pid int, name string) (string, error) {
	text, err := r.Read("proc", strconv.Itoa(pid), "status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no %s in /proc/%d/status: %w", name, pid, fs.ErrNotExist)
}
