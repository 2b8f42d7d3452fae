package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/shield"
)

// checkCPUs reads back that the container runs on its CPUs and on nothing else.
func (c call) checkCPUs(grant shield.Grant) error {
	for _, reading := range promise.CPUs(c.host, c.pid, grant) {
		if reading.Err != nil {
			return fmt.Errorf("container %s was granted CPU %s: %w", grant.Name, grant.CPUsText(), reading.Err)
		}
		if !reading.Kept() {
			return fmt.Errorf("container %s was granted CPU %s, but %s reads %q: something between rtshield and the runtime changes linux.resources.cpu",
				grant.Name, grant.CPUsText(), reading.Where, reading.Now)
		}
	}
	return nil
}

// settleCPUs checks them once the container has left behind what affinity its engine may have had: crun hands that on, and so
// does runc before 1.2.
func (c call) settleCPUs(grant shield.Grant) error {
	err := c.checkCPUs(grant)
	if err != nil && c.pin(grant) == nil {
		err = c.checkCPUs(grant)
	}
	return err
}

// checkMemory reads back what was done about the container's memory.
func (c call) checkMemory(grant shield.Grant) error {
	if thp, promised := promise.THP(c.host, c.pid, grant); promised && !thp.Kept() {
		return fmt.Errorf("container %s was promised thp never, but THP_enabled of pid %d does not read 0: the delegate takes the flag back", grant.Name, c.pid)
	}
	if ksm, promised := promise.KSM(c.host, c.pid, grant); promised && !ksm.Kept() {
		return fmt.Errorf("container %s was promised ksm off, but ksm_merge_any of pid %d reads yes: the delegate takes the flag back", grant.Name, c.pid)
	}
	if swap, promised := promise.Swap(c.host, c.pid, grant); promised && !swap.Kept() {
		return errors.Join(fmt.Errorf("container %s was promised swap off, but %s reads %q", grant.Name, swap.Where, swap.Now), swap.Err)
	}
	return nil
}

// checkPolicy reads the policy of the container's first thread back.
func (c call) checkPolicy(grant shield.Grant) error {
	now, want, err := promise.Policy(c.host, c.pid, grant)
	if err != nil {
		return fmt.Errorf("container %s: reading back policy %s: %w", grant.Name, grant.PolicyText(), err)
	}
	if now != want {
		return fmt.Errorf("container %s was promised policy %s, but its first thread reads back %+v", grant.Name, grant.PolicyText(), now)
	}
	return nil
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
