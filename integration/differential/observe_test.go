package differential

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/snapshot"
)

// varying is what differs between two calls of the same program: the time, a pid, an inode, an
// address, the usage of a moment.
var varying = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)|\b\d{2,}\b|\d+\.\d+|0x[0-9a-f]+|\b[0-9a-f]{9,}\b`)

// plain makes two outputs comparable.
func plain(text string) string { return varying.ReplaceAllString(text, "#") }

// state asks plain runc, which knows all containers of the root.
func (p *player) state(id string) rig.State {
	p.Helper()
	var state rig.State
	if res := p.Plain("state", id); res.Code == 0 {
		if err := json.Unmarshal([]byte(res.Stdout), &state); err != nil {
			p.Fatalf("%v in %s", err, res)
		}
	}
	return state
}

// look notes all that can be seen of the container from the host.
var look = step{"a look", (*player).look}

func (p *player) look() {
	p.Helper()
	run("state " + id).do(p)
	state := p.state(id)
	for path, value := range snapshot.TakeBelow("/sys/fs/cgroup/*"+rig.CgroupParent, "/sys/fs/cgroup"+rig.CgroupParent) {
		p.fact("cgroup "+strings.TrimPrefix(path, "/sys/fs/cgroup/"), value)
	}
	for _, name := range p.Files(p.bundle) {
		text, _ := os.ReadFile(filepath.Join(p.bundle, name))
		p.fact("bundle "+name, string(text))
	}
	if state.Pid == 0 || state.Status == "stopped" {
		return
	}
	p.begins(state)
	p.process(state.Pid)
}

// begins waits for the program of a container that runs: start returns before its startContainer hooks have ended.
func (p *player) begins(state rig.State) {
	p.Helper()
	if state.Status != "running" {
		return
	}
	p.Eventual(func() error {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", state.Pid))
		cmdline, errLine := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", state.Pid)) // the kernel sets it after exe
		if err = errors.Join(err, errLine); err != nil || filepath.Base(exe) != "busybox" || len(cmdline) == 0 {
			return fmt.Errorf("its program is %q, %q: %w", exe, cmdline, err)
		}
		return nil
	})
}

// ofStatus are the lines of /proc/PID/status that say what a process may do. Not SigIgn: runc catches signals beside starting
// the container, and what was ignored before reaches it or not, as it comes.
var ofStatus = []string{
	"Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
	"Cpus_allowed_list", "Mems_allowed_list", "THP_enabled",
}

// process notes what a process is and may do.
func (p *player) process(pid int) {
	p.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	link := func(name string) string {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			return "none"
		}
		return target
	}
	for line := range strings.Lines(read("status")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if slices.Contains(ofStatus, name) {
			p.fact("process "+name, strings.TrimSpace(value))
		}
	}
	for line := range strings.Lines(read("limits")) {
		p.fact("limit "+strings.TrimSpace(line[:min(26, len(line))]), strings.Join(strings.Fields(line[min(26, len(line)):]), " "))
	}
	for entry := range strings.SplitSeq(strings.TrimRight(read("environ"), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		p.fact("environment "+name, value)
	}
	for _, name := range []string{"cmdline", "oom_score_adj", "personality", "coredump_filter", "cgroup", "uid_map", "gid_map", "timens_offsets", "timerslack_ns", "setgroups"} {
		p.fact("process "+name, read(name))
	}
	for _, name := range []string{"exe", "cwd"} {
		p.fact("process "+name, link(name))
	}
	for _, name := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"} {
		ours, _ := os.Readlink("/proc/self/ns/" + name)
		p.fact("namespace "+name, map[bool]string{true: "the host's", false: "its own"}[link("ns/"+name) == ours])
	}
	for line := range strings.Lines(read("mountinfo")) {
		fields := strings.Fields(line)
		if len(fields) > 5 { // without the ids
			p.fact("mount "+fields[4], plain(strings.Join(append([]string{fields[3]}, fields[5:]...), " ")))
		}
	}
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, entry := range entries {
		p.fact("descriptor "+entry.Name(), plain(link("fd/"+entry.Name())))
	}
	if attr, err := unix.SchedGetAttr(pid, 0); err == nil {
		p.fact("process policy", fmt.Sprintf("policy %d, priority %d, nice %d, flags %d", attr.Policy, attr.Priority, attr.Nice, attr.Flags))
	}
}
