package status

import (
	"slices"

	"github.com/rtshield/rtshield/internal/shield"
)

// Pod is a pod as a unit: what its shielded containers hold together. Its pause container, and those that ask for nothing, are
// ordinary.
type Pod struct {
	shield.Pod
	CPUs shield.CPUs `json:"cpus"`
	Idle shield.CPUs `json:"idle"`
	Mems shield.CPUs `json:"mems"`
	// Containers are their names.
	Containers []string `json:"containers"`
}

// podsOf puts the grants of each pod together, in the order of the first of each.
func podsOf(grants []Grant) []Pod {
	var pods []Pod
	for _, grant := range grants {
		if grant.Pod == nil {
			continue
		}
		i := slices.IndexFunc(pods, func(p Pod) bool { return p.ID == grant.Pod.ID })
		if i < 0 {
			i, pods = len(pods), append(pods, Pod{Pod: *grant.Pod})
		}
		pod := &pods[i]
		pod.CPUs = shield.CPUsOf(pod.CPUs.Union(grant.CPUs.CPUSet))
		pod.Idle = shield.CPUsOf(pod.Idle.Union(grant.Idle.CPUSet))
		pod.Mems = shield.CPUsOf(pod.Mems.Union(grant.Mems.CPUSet))
		pod.Containers = append(pod.Containers, grant.Name)
	}
	return pods
}
