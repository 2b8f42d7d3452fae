//go:build vmguest

package guest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/status"
)

// policy fails unless a process has this policy and priority.
func (r *rig) policy(when string, pid int, policy, priority uint32) {
	r.Helper()
	attr, err := unix.SchedGetAttr(pid, 0)
	if err != nil {
		r.Fatalf("%s: sched_getattr of %d: %v", when, pid, err)
	}
	if attr.Policy != policy || attr.Priority != priority {
		r.Errorf("%s: pid %d has policy %d, priority %d; want %d, %d", when, pid, attr.Policy, attr.Priority, policy, priority)
	}
}

// runs waits until a process has become this program.
func (r *rig) runs(pid int, program string) {
	r.Helper()
	r.eventually(func() error {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if now := strings.TrimSpace(string(comm)); err != nil || now != program {
			return fmt.Errorf("pid %d is %q (%v), not %q", pid, now, err, program)
		}
		return nil
	})
}

// allowed is Cpus_allowed_list of a process.
func (r *rig) allowed(pid int) string {
	r.Helper()
	set, err := host.System.AllowedCPUs(pid)
	if err != nil {
		r.Fatal(err)
	}
	return set.String()
}

// status is `rtshield status --json`.
func (r *rig) status() status.Status {
	r.Helper()
	var now status.Status
	if err := json.Unmarshal([]byte(r.must(r.command("status", "--json")).out), &now); err != nil {
		r.Fatal(err)
	}
	return now
}

// grant is one container's part of it.
func (r *rig) grant(id string) status.Grant {
	r.Helper()
	now := r.status()
	for _, grant := range now.Grants {
		if grant.ID == id {
			return grant
		}
	}
	r.Fatalf("status shows no grant of %s: %+v", id, now)
	return status.Grant{}
}

func topology(t testing.TB) host.Topology {
	t.Helper()
	topo, err := host.System.Topology()
	if err := errors.Join(err, host.System.Cores(&topo, topo.Online)); err != nil {
		t.Fatal(err)
	}
	return topo
}

// knob reads a file of a container's cpuset cgroup.
func (r *rig) knob(id, file string) string {
	r.Helper()
	return text(r, filepath.Join(cpusetMount()+parent, id, file))
}

// effective is the file's name with the CPUs that a cgroup really has.
func effective() string {
	if unified() {
		return "cpuset.cpus.effective"
	}
	return "cpuset.effective_cpus"
}

func parse(t testing.TB, list string) cpuset.CPUSet {
	t.Helper()
	set, err := cpuset.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// isolated says whether the kernel was booted with isolcpus=.
func isolated(t testing.TB) bool {
	t.Helper()
	return !topology(t).Isolated.IsEmpty()
}

// contains fails unless text has every one of the words.
func (r *rig) contains(what, text string, words ...string) {
	r.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			r.Errorf("%s: no %q in %q", what, word, text)
		}
	}
}
