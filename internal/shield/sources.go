package shield

import (
	"fmt"
	"strings"
)

// Source says where one decision about a container is from.
type Source struct {
	What  string `json:"what"`
	Value string `json:"value"`
	// From names a link, an annotation, what the engine wrote, a place of the policy file, a boot option or the kernel.
	From string `json:"from"`
	// Option is where the policy file may have it, as table and key. Who can read the file completes From.
	Option []string `json:"-"`
}

// Sources tells for each decision about a container where it is from. Terms, layout and host are what the grant rests on.
func Sources(request Request, terms Terms, layout Layout, host Host, grant Grant) []Source {
	class := terms.Class
	list := []Source{
		{What: KeyClass, Value: class.Name, From: terms.sources[KeyClass]},
		{What: "pool", Value: "CPU " + layout.Pool.String(), From: layout.Source, Option: []string{"layout", "shield"}},
	}
	// add notes a value by the key that annotations have for it: it is from there, from the engine, or from the class.
	add := func(key, value string) {
		source := Source{What: key, Value: value, From: terms.sources[key]}
		if choice, asked := request.Choices[key]; asked && source.From == "" {
			source.From = "annotation " + choice.Source
		}
		if source.From == "" {
			source.Option = []string{KeyClass, class.Name, strings.ReplaceAll(key, "-", "_")}
		}
		list = append(list, source)
	}
	optional := func(key, value string) {
		if value != "" && value != Keep {
			add(key, value)
		}
	}
	add(KeyCPUs, fmt.Sprintf("%d: CPU %s", grant.CPUs.Size(), grant.CPUs))
	add(KeyPolicy, string(grant.Policy))
	switch {
	case grant.Policy.HasPriority():
		add(KeyPriority, fmt.Sprint(grant.Priority))
	case grant.Policy == Deadline:
		add(KeyDeadline, grant.Deadline.String())
	}
	optional(KeyRealtimeMask, grant.Mask)
	optional(KeyThreads, request.Choices[KeyThreads].Value)
	add(KeySMT, terms.SMT)
	add(KeyNUMA, terms.NUMA)
	optional(KeyNear, terms.Near.String())
	add(KeyIRQ, terms.IRQ)
	optional(KeyIRQClaim, strings.Join(terms.Claim, ", "))
	list = append(list, levelSource(request, terms, layout, host, grant))
	add(KeyPartition, terms.Partition)
	optional(KeyCStates, terms.Power.CStates)
	optional(KeyGovernor, terms.Power.Governor)
	return append(list, boundSources(request, grant)...)
}

// levelSource says why the level is no stronger one.
func levelSource(request Request, terms Terms, layout Layout, host Host, grant Grant) Source {
	level, why := chooseLevel(layout, host, request, terms, grant.CPUs.CPUSet, grant.Idle.CPUSet)
	source := Source{What: "level", Value: level, From: why}
	if why == "" {
		source.From = "the strongest that there is, and this kernel has it"
	}
	free := layout
	free.Level = ""
	if unbound, _ := chooseLevel(free, host, request, terms, grant.CPUs.CPUSet, grant.Idle.CPUSet); unbound != level {
		source.Option = []string{"layout", "level"}
	}
	return source
}

// boundSources are those of what bounds a container's CPU time, and of its huge pages.
func boundSources(request Request, grant Grant) (list []Source) {
	for _, key := range []string{KeyRTBandwidth, KeyCPUBandwidth, KeyCPUPeriod, KeyCPUBurst, KeyHugePages} {
		if choice, asked := request.Choices[key]; asked {
			list = append(list, Source{What: key, Value: choice.Value, From: "annotation " + choice.Source})
		}
	}
	if _, asked := request.Choices[KeyHugePages]; !asked && len(grant.HugePages) > 0 {
		texts := make([]string, len(grant.HugePages))
		for i, share := range grant.HugePages {
			texts[i] = share.String()
		}
		list = append(list, Source{What: KeyHugePages, Value: strings.Join(texts, ", "), From: "linux.resources.hugepageLimits"})
	}
	return list
}

// OrdinarySources tells why a container is ordinary, and where the bounds of its CPU time are from.
func OrdinarySources(request Request) []Source {
	why := "neither the runtime's name, nor an annotation, nor process.scheduler asks for one"
	if request.Sandbox {
		why = "the sandbox of a pod is always ordinary"
	}
	return append([]Source{{What: KeyClass, Value: "none", From: why}}, boundSources(request, Grant{})...)
}
