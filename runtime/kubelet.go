package runtime

import (
	"fmt"

	"github.com/rtshield/rtshield/internal/kubelet"
	"github.com/rtshield/rtshield/internal/shield"
)

// follow holds the request to what a kubelet gave the container, and notes what that gave to others, where CPUs are the
// kubelet's to give.
func (m *matter) follow() error {
	if m.config.Layout.CPUsFrom == shield.FromRtshield || !m.request.Asks() {
		return nil
	}
	assigned, err := gaveTo(m.config.Layout, m.request.Pod.UID, m.request.Name)
	if err != nil {
		return err
	}
	m.given = assigned.Others
	m.request, err = m.config.Layout.Follow(m.config.Classes, m.request, assigned)
	return err
}

// gaveTo says what the kubelet gave one container of a pod, by its record.
func gaveTo(layout shield.LayoutSpec, pod, container string) (shield.Assigned, error) {
	state, err := kubelet.LoadState(system, layout.KubeletDir())
	if err != nil {
		return shield.Assigned{}, fmt.Errorf("%w: without it nobody knows which CPUs are free; mend it, or set [layout] cpus_from = %q", err, shield.FromRtshield)
	}
	return state.Of(pod, container), nil
}

// follows says whether an update to other CPUs is the engine's choice, which the container follows.
func (c *change) follows(grant shield.Grant, to shield.CPUs) (bool, error) {
	if grant.From != shield.FromEngine {
		return c.config.Layout.CPUsFrom == shield.FromEngine, nil
	}
	now, err := gaveTo(c.config.Layout, grant.Pod.UID, grant.Name)
	if err != nil || now.Manager == "" || now.Own.Equals(to.CPUSet) {
		return err == nil, err
	}
	return false, fmt.Errorf("update of container %s asks for CPU %s, but by the kubelet's own record it has CPU %s alone: create its pod anew, or wait for the next update",
		grant.Name, to, now.Own)
}
