package hooks

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/shield"
)

// setPolicy gives the container's first thread its policy, from the host: that needs no capability in the container,
// works across user namespaces, survives execve, and exec does not inherit it. The thread that execs is the thread
// group's leader, and execve ends the runtime's other threads.
func (c call) setPolicy(grant shield.Grant) error {
	err := promise.SetPolicy(c.pid, grant)
	if err == nil {
		return nil
	}
	return fmt.Errorf("container %s cannot have policy %s: %s: %w", grant.Name, grant.PolicyText(), c.whyNot(grant, err), err)
}

// whyNot tells which of the kernel's reasons it was: one errno stands for several.
func (c call) whyNot(grant shield.Grant, err error) string {
	switch {
	case grant.Policy == shield.Deadline && errors.Is(err, unix.EBUSY):
		return "the root domain has not that much deadline bandwidth left (kernel.sched_rt_runtime_us bounds it): ask for less"
	case grant.Policy == shield.Deadline && grant.Partition == shield.Root && errors.Is(err, unix.EPERM):
		return fmt.Sprintf("SCHED_DEADLINE wants an affinity that spans a whole root domain, and this kernel does not count CPU %s as one, though they are a root partition", grant.CPUs)
	case grant.Policy == shield.Deadline && errors.Is(err, unix.EPERM):
		return fmt.Sprintf("SCHED_DEADLINE wants an affinity that spans a whole root domain, and CPU %s is only a part of one: it needs a cpuset partition of type root (cgroup v2), or kernel.sched_rt_runtime_us = -1", grant.CPUs)
	case grant.Policy.HasPriority() && errors.Is(err, unix.EPERM):
		if c.groupsOnV2(grant) {
			return "this kernel has RT_GROUP_SCHED on cgroup v2, which gives no group a real-time budget: boot with rt_group_sched=0 (Linux 6.15), or use a kernel without it"
		}
		return "its cgroup has no real-time budget, or rtshield lacks CAP_SYS_NICE in the first user namespace"
	case errors.Is(err, unix.EPERM):
		return "rtshield lacks CAP_SYS_NICE in the first user namespace"
	}
	return "the kernel refused"
}

// groupsOnV2: with capabilities in order, EPERM for FIFO on cgroup v2 has no other cause.
func (c call) groupsOnV2(grant shield.Grant) bool {
	place, found, err := c.host.Controller(c.pid, "cpu")
	return err == nil && found && place.Unified && len(grant.Cgroups.Budgets) == 0
}
