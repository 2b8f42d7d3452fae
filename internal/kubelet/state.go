// Package kubelet reads what a node's kubelet knows of its CPUs: which of them its CPU manager has given away
// (cpu_manager_state), and what it was told to do (config.yaml). Compare says where it and rtshield are at odds.
package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/privilege"
	"github.com/rtshield/rtshield/internal/shield"
)

// The kubelet's files, below its --root-dir.
const (
	StateFile  = "cpu_manager_state"
	ConfigFile = "config.yaml"
)

// Owner is a container of a pod. In the first version of the file, of Kubernetes before 1.18, Container is its id, and Pod is
// not known.
type Owner struct{ Pod, Container string }

func (o Owner) String() string {
	if o.Pod == "" {
		return o.Container
	}
	return o.Container + " of pod " + o.Pod
}

// State is what the CPU manager remembers. The kubelet writes it before the containers of a pod are created, and refuses to
// start with another policy than it names.
type State struct {
	// Policy is none or static.
	Policy string
	// Shared is what all other containers run on, reserved CPUs included.
	Shared cpuset.CPUSet
	// Given are the CPUs that containers have alone.
	Given map[Owner]cpuset.CPUSet
	// Pods are those that the containers of a pod share with each other (version 3, Kubernetes 1.36).
	Pods map[string]cpuset.CPUSet
}

var errNoPod = errors.New("is not what a kubelet writes: an entry names no pod")

// ParseState reads a cpu_manager_state of versions 1 to 4; the fourth repeats the third. Its checksum is over the kubelet's
// own Go types, and is left to it.
func ParseState(data []byte) (*State, error) {
	var file struct {
		PolicyName    string                     `json:"policyName"`
		DefaultCPUSet string                     `json:"defaultCpuSet"`
		Entries       map[string]json.RawMessage `json:"entries"`
		PodEntries    map[string]struct {
			CPUSet string `json:"cpuSet"`
		} `json:"podEntries"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("is not what a kubelet writes: %w", err)
	}
	if file.PolicyName == "" {
		return nil, errors.New("is not what a kubelet writes: it names no policy")
	}
	state := &State{Policy: file.PolicyName, Given: map[Owner]cpuset.CPUSet{}, Pods: map[string]cpuset.CPUSet{}}
	shared, err := shield.ParseCPUs(file.DefaultCPUSet)
	if state.Shared = shared.CPUSet; err != nil {
		return nil, fmt.Errorf("defaultCpuSet: %w", err)
	}
	for name, entry := range file.Entries {
		ofPod, id := map[string]string{}, ""
		if json.Unmarshal(entry, &id) == nil {
			if err := state.give(Owner{Container: name}, id); err != nil {
				return nil, err
			}
			continue
		}
		if err := json.Unmarshal(entry, &ofPod); err != nil {
			return nil, fmt.Errorf("entries of pod %s: %w", name, err)
		}
		if name == "" {
			return nil, errNoPod
		}
		for container, list := range ofPod {
			if err := state.give(Owner{name, container}, list); err != nil {
				return nil, err
			}
		}
	}
	for pod, entry := range file.PodEntries {
		if pod == "" {
			return nil, errNoPod
		}
		cpus, err := shield.ParseCPUs(entry.CPUSet)
		if err != nil {
			return nil, fmt.Errorf("podEntries of %s: %w", pod, err)
		}
		state.Pods[pod] = cpus.CPUSet
	}
	return state, nil
}

func (s *State) give(owner Owner, list string) error {
	cpus, err := shield.ParseCPUs(list)
	if err != nil {
		return fmt.Errorf("entry of container %s: %w", owner, err)
	}
	s.Given[owner] = cpus.CPUSet
	return nil
}

// LoadState reads the state below a kubelet's directory, nil where there is none. A file that others than root could write is
// an error.
func LoadState(root host.Root, dir string) (*State, error) {
	name := filepath.Join(dir, StateFile)
	text, err := root.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = privilege.Trusted(root.Path(name))
	}
	if err != nil {
		return nil, fmt.Errorf("what the kubelet has given away: %w", err)
	}
	state, err := ParseState([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return state, nil
}

// Of says what the kubelet gave one container of a pod, and what it gave others. The zero State gave nothing.
func (s *State) Of(pod, container string) shield.Assigned {
	if s == nil || pod != "" && s.nameless() {
		return shield.Assigned{}
	}
	assigned := shield.Assigned{Manager: s.Policy, Own: s.own(pod, container)}
	var others []int
	for owner, cpus := range s.Given {
		if owner.Pod != pod || pod == "" {
			others = append(others, cpus.UnsortedList()...)
		} else if owner.Container != container && !s.own(pod, owner.Container).IsEmpty() {
			assigned.Beside = true
		}
	}
	for other, cpus := range s.Pods {
		if other != pod {
			others = append(others, cpus.UnsortedList()...)
		}
	}
	assigned.Others = cpuset.New(others...)
	return assigned
}

// nameless says whether the file is of the first version, which does not name pods.
func (s *State) nameless() bool {
	for owner := range s.Given {
		if owner.Pod == "" {
			return true
		}
	}
	return false
}

// own gives the CPUs that a container has alone. Where the pod has a set as a whole, containers without CPUs of their own
// share what is left of it, and have entries that meet.
func (s *State) own(pod, container string) cpuset.CPUSet {
	cpus := s.Given[Owner{pod, container}]
	if whole := s.Pods[pod]; whole.IsEmpty() {
		return cpus
	}
	for owner, beside := range s.Given {
		if owner.Pod == pod && owner.Container != container && !beside.Intersection(cpus).IsEmpty() {
			return cpuset.New()
		}
	}
	return cpus
}

// All are the CPUs that are given away.
func (s *State) All() cpuset.CPUSet { return s.Of("", "").Others }
