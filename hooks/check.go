package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// checkCPUs reads back that the container runs on its CPUs and on nothing else.
func (c call) checkCPUs(grant shield.Grant) error {
	type source struct {
		what string
		want shield.CPUs
		read func() (cpuset.CPUSet, error)
	}
	sources := []source{
		{"cpuset.cpus of " + grant.Cgroups.Cpuset, grant.Cpuset(), func() (cpuset.CPUSet, error) { return hostcpuset.CPUs(c.host, grant.Cgroups.Cpuset) }},
		{"the effective cpuset of " + grant.Cgroups.Cpuset, grant.Cpuset(), func() (cpuset.CPUSet, error) { return hostcpuset.Effective(c.host, grant.Cgroups.Cpuset) }},
		{fmt.Sprintf("Cpus_allowed_list of pid %d", c.pid), grant.Home(), func() (cpuset.CPUSet, error) { return c.host.AllowedCPUs(c.pid) }},
	}
	if c.ruled(grant) {
		sources = sources[:2]
	}
	if grant.Pinned {
		sources = sources[2:]
	}
	for _, source := range sources {
		now, err := source.read()
		if err != nil {
			return fmt.Errorf("container %s was granted CPU %s: %w", grant.Name, grant.CPUsText(), err)
		}
		if !now.Equals(source.want.CPUSet) {
			return fmt.Errorf("container %s was granted CPU %s, but %s reads %q: something between rtshield and the runtime changes linux.resources.cpu",
				grant.Name, grant.CPUsText(), source.what, now)
		}
	}
	return nil
}

// checkMemory reads back what was done about the container's memory.
func (c call) checkMemory(grant shield.Grant) error {
	if grant.Memory.THP == shield.Never && !c.host.THPDisabled(c.pid) {
		return fmt.Errorf("container %s was promised thp never, but THP_enabled of pid %d does not read 0: the delegate takes the flag back", grant.Name, c.pid)
	}
	if grant.Memory.KSM == string(shield.Off) && c.host.KSMMerges(c.pid) {
		return fmt.Errorf("container %s was promised ksm off, but ksm_merge_any of pid %d reads yes: the delegate takes the flag back", grant.Name, c.pid)
	}
	if grant.Memory.Swap == "" {
		return nil
	}
	place, _, err := c.host.Controller(c.pid, "memory")
	if err != nil {
		return err
	}
	if now, err := c.host.Read(place.Dir, grant.Memory.Swap); err != nil || now != "0" {
		return errors.Join(fmt.Errorf("container %s was promised swap off, but %s of %s reads %q", grant.Name, grant.Memory.Swap, place.Dir, now), err)
	}
	return nil
}

// checkPolicy reads the policy of the container's first thread back.
func (c call) checkPolicy(grant shield.Grant) error {
	if c.ruled(grant) {
		return nil
	}
	now, err := sched.Get(c.pid)
	if err != nil {
		return fmt.Errorf("container %s: reading back policy %s: %w", grant.Name, grant.PolicyText(), err)
	}
	if want := attr(grant); now != want {
		return fmt.Errorf("container %s was promised policy %s, but its first thread reads back %+v", grant.Name, grant.PolicyText(), now)
	}
	return nil
}

// ruled says whether the container's program runs and its first thread is the watcher's: a rule has its name.
func (c call) ruled(grant shield.Grant) bool {
	stat, err := task.Read(c.host, c.pid)
	return err == nil && stat.Comm != grant.Starting && grant.Rule(stat.Comm) != nil
}

// attr is a grant's policy in the kernel's terms.
func attr(grant shield.Grant) sched.Attr {
	result := sched.Attr{Policy: reconcile.Policies[grant.Policy], Priority: uint32(grant.Priority)}
	switch {
	case grant.Policy == shield.Deadline:
		// Without it the runtime's init could not make another thread: fork of a DEADLINE thread gives EAGAIN.
		result.ResetOnFork = true
		result.Runtime, result.Deadline, result.Period = grant.Deadline.Runtime, grant.Deadline.Deadline, grant.Deadline.Period
	case !grant.Policy.RealTime():
		result.Nice = int32(grant.Nice)
	}
	return result
}

// inherited gives the CPUs that a cgroup has whose own cpuset says nothing: on v2 that stays unsaid, on v1 it is its
// parent's set, which runc copies.
func inherited(root host.Root, dir string) (cpuset.CPUSet, error) {
	if _, err := root.Read(dir, "cpuset.cpus.effective"); err == nil {
		return cpuset.New(), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return cpuset.New(), err
	}
	return hostcpuset.CPUs(root, filepath.Dir(dir))
}
