// Package threads runs a program of named threads, for rules for them, and sees where they are.
package threads

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/internal/host"
)

// Named is the program named in a container.
type Named struct {
	dir string
	// read is how much of what it says has been read.
	read int
}

// New puts the program, which must be static, into a new directory.
func New(dir, program string) (*Named, error) {
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
		return nil, err
	}
	return &Named{dir: dir}, bundle.CopyProgram(filepath.Join(dir, "named"), program)
}

// Edit makes it a container's program.
func (n *Named) Edit(spec *specs.Spec) {
	spec.Process.Args = []string{"/threads/named", "/threads/out"}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/threads", Source: n.dir, Type: "bind", Options: []string{"bind"}})
}

// Own is what came of it when it raised a thread itself, "" before.
func (n *Named) Own() string {
	text, _ := os.ReadFile(filepath.Join(n.dir, "out/own"))
	return strings.TrimSpace(string(text))
}

// Late makes it start threads that are renamed, and gives how long each of them waited for its place, in order.
func (n *Named) Late(pid int, patience time.Duration) (waits []time.Duration, err error) {
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(n.dir, "out/late"))
		said, all := strings.CutSuffix(string(text[n.read:]), "all\n")
		if !all {
			continue
		}
		n.read = len(text)
		for line := range strings.FieldsSeq(said) {
			wait, parseErr := time.ParseDuration(line)
			waits, err = append(waits, wait), errors.Join(err, parseErr)
		}
		slices.Sort(waits)
		return waits, err
	}
	return nil, fmt.Errorf("its late threads are not where they should be after %v", patience)
}

// Spin makes a thread spin for some seconds.
func (n *Named) Spin(pid int) error { return unix.Kill(pid, unix.SIGUSR2) }

// Places tells of the threads of a process, by name: "FIFO 80 on 1". Threads of one name in different places are an error.
func Places(pid int) (map[string]string, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	places := map[string]string{}
	for _, file := range files {
		comm, readErr := os.ReadFile(file)
		tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		name, place := strings.TrimSpace(string(comm)), ""
		if readErr == nil {
			place, readErr = Place(tid)
		}
		if host.Gone(readErr) {
			continue
		}
		if other, seen := places[name]; seen && other != place {
			err = errors.Join(err, fmt.Errorf("of the threads %s one is %s, one %s", name, other, place))
		}
		places[name], err = place, errors.Join(err, readErr)
	}
	return places, err
}

// Find gives a thread of a process by its name.
func Find(pid int, name string) (int, error) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	for _, file := range files {
		if comm, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(comm)) == name {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("process %d has no thread %s", pid, name)
}

// Place tells of one thread.
func Place(tid int) (string, error) {
	attr, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return "", err
	}
	cpus, err := host.System.AllowedCPUs(tid)
	policy := map[uint32]string{unix.SCHED_NORMAL: "OTHER", unix.SCHED_FIFO: "FIFO", unix.SCHED_RR: "RR", unix.SCHED_BATCH: "BATCH"}[attr.Policy]
	return fmt.Sprintf("%s %d on %s", policy, attr.Priority, cpus), err
}

// Differ says which of the threads wanted is not where it should be.
func Differ(pid int, want map[string]string) error {
	now, err := Places(pid)
	for name, place := range want {
		if now[name] != place {
			err = errors.Join(err, fmt.Errorf("thread %s of %d is %q, not %s", name, pid, now[name], place))
		}
	}
	return err
}

// Watchers lists the watchers of a ledger's directory.
func Watchers(state string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if string(text) == "rtshield\x00watch\x00--state\x00"+state+"\x00" && !strings.Contains(string(stat), ") Z ") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}
