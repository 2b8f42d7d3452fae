package hooks

import (
	"errors"
	"fmt"

	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/shield"
)

// bindBandwidth finds the directory that bounds the container's CPU time and counts it, and reads back that the delegate has
// written what it asked for.
func (c call) bindBandwidth(grant *shield.Grant) error {
	if !grant.Share.Limited() && grant.RTBandwidth == 0 {
		return nil
	}
	cpu, found, err := c.host.Controller(c.pid, "cpu")
	if err != nil || !found {
		return errors.Join(fmt.Errorf("container %s asks for a bandwidth, and has no cpu cgroup", grant.Name), err)
	}
	if grant.Cgroups.CPU = cpu.Dir; !grant.Share.Limited() {
		return nil
	}
	now, err := bandwidth.Read(c.host, cpu.Dir)
	if err != nil {
		return fmt.Errorf("container %s was promised %s: %w", grant.Name, grant.Share, err)
	}
	if shield.Share(now) != grant.Share {
		return fmt.Errorf("container %s was promised %s, but cgroup %s reads back %s: something between rtshield and the runtime changes linux.resources.cpu",
			grant.Name, grant.Share, cpu.Dir, shield.Share(now))
	}
	return nil
}
