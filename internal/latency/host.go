package latency

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Host is what a measurement depends on.
type Host struct {
	// Kernel is its release, Build the rest of what uname says: PREEMPT_RT or not.
	Kernel    string      `json:"kernel"`
	Build     string      `json:"build"`
	Processor string      `json:"processor"`
	CPUs      shield.CPUs `json:"cpus"`
	// Virtual: a hypervisor may take the CPUs away at any time, which no shield inside can prevent.
	Virtual bool `json:"virtual"`
	// Idle is the cpuidle driver, and the governor that chooses how deep a CPU sleeps. Empty where there is none.
	Idle string `json:"idle,omitempty"`
}

func (h Host) String() string {
	kind := "kernel"
	for _, word := range strings.Fields(h.Build) {
		if strings.HasPrefix(word, "PREEMPT") {
			kind = word
		}
	}
	text := fmt.Sprintf("Linux %s (%s), CPUs %s of %s", h.Kernel, kind, h.CPUs, h.Processor)
	if h.Virtual {
		text += ", virtual"
	}
	return text
}

// observe reads it. What this architecture does not tell stays empty.
func observe(root host.Root) Host {
	var h Host
	var names unix.Utsname
	if unix.Uname(&names) == nil {
		h.Kernel, h.Build = unix.ByteSliceToString(names.Release[:]), unix.ByteSliceToString(names.Version[:])
	}
	if online, err := root.Online(); err == nil {
		h.CPUs = shield.CPUsOf(online)
	}
	h.Processor, h.Virtual = processor(root)
	driver, err := root.Read("sys/devices/system/cpu/cpuidle/current_driver")
	if err == nil && driver != "none" {
		h.Idle = "cpuidle driver " + driver
		if governor, err := root.Read("sys/devices/system/cpu/cpuidle/current_governor_ro"); err == nil && governor != driver {
			h.Idle += ", governor " + governor
		}
	}
	return h
}

// processor tells of the first CPU. That there is a hypervisor, only x86 says here.
func processor(root host.Root) (name string, virtual bool) {
	name = "an unnamed processor"
	text, _ := root.Read("proc/cpuinfo")
	first, _, _ := strings.Cut(text, "\n\n")
	for line := range strings.Lines(first) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			name = strings.Join(strings.Fields(value), " ")
		case "flags":
			virtual = slices.Contains(strings.Fields(value), "hypervisor")
		}
	}
	return name, virtual
}
