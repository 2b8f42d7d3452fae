package shield

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/cpuset"
)

// Terms is a request that has been held to its class: what to allocate, and what to set.
type Terms struct {
	Class Class
	// Count is how many CPUs; Explicit is the set asked for by hand, empty for an allocated one.
	Count    int
	Explicit cpuset.CPUSet
	Policy   Policy
	Priority int
	Nice     int
	Deadline Bandwidth
	SMT      string
	NUMA     string
	Near     Near
	IRQ      string
	// Partition is auto, isolated, root or none.
	Partition string
	// Claim names the interrupts to bring onto its CPUs.
	Claim []string
	Power Power
	// Mask divides its CPUs, Threads are the rules for its threads.
	Mask    RealtimeMask
	Threads []ThreadRule
	// RTBandwidth is how much of each CPU its real-time threads may have. Zero: what the policy of the host gives.
	RTBandwidth Percent
	// HugePages are those that it asks for.
	HugePages []Pages
	// sources says where class, CPUs, policy, priority and bandwidth are from, by key, where that is not the class.
	sources map[string]string
}

// ofClass gives what a container has that says no more than its class.
func ofClass(classes map[string]Class, request Request) (Terms, error) {
	class, source, err := pickClass(classes, request)
	if err != nil {
		return Terms{}, err
	}
	terms := Terms{
		sources: map[string]string{KeyClass: source},
		Class:   class, Policy: class.Policy, Nice: class.Nice,
		Deadline: class.Deadline, SMT: class.SMT, NUMA: class.NUMA, IRQ: class.IRQ, Partition: class.Partition, Power: class.Power,
	}
	if class.Policy.HasPriority() {
		terms.Priority = class.Priority
	}
	return terms, nil
}

// Resolve holds a request to the classes. Every error names what was asked, the ceiling, and where the value stands.
func Resolve(classes map[string]Class, request Request) (Terms, error) {
	terms, err := ofClass(classes, request)
	if err != nil {
		return Terms{}, err
	}
	for _, step := range []func(*Terms, Request) error{choosePolicy, choosePriority, checkRTPrio, checkRTTime, chooseDeadline, chooseCPUs, chooseWords, chooseClaim, chooseNear, choosePower, chooseMask, chooseThreads, chooseRTBandwidth, chooseHugePages} {
		if err := step(&terms, request); err != nil {
			return Terms{}, err
		}
	}
	return terms, nil
}

func pickClass(classes map[string]Class, request Request) (class Class, source string, err error) {
	name := request.LinkClass
	source = "runtime name rtshield-" + name
	if choice, ok := request.Choices[KeyClass]; ok {
		if name != "" && name != choice.Value {
			return Class{}, "", fmt.Errorf("%s asks for class %q, but the %s gives class %s: remove the annotation or use another runtime",
				choice.Source, choice.Value, source, name)
		}
		name, source = choice.Value, "annotation "+choice.Source
	}
	if name == "" {
		if policy, ok := request.Scheduler.realTime(); ok {
			name, source = string(policy), "process.scheduler "+request.Scheduler.Policy
		}
	}
	if name == "" {
		for _, key := range allKeys {
			if choice, ok := request.Choices[key]; ok {
				return Class{}, "", fmt.Errorf("annotation %s means nothing without a class: add %s/class (one of %s)",
					choice.Source, Domain, ClassNames(classes))
			}
		}
	}
	class, ok := classes[name]
	if !ok {
		return Class{}, "", fmt.Errorf("%s asks for class %q, which this host does not have (it has %s)", source, name, ClassNames(classes))
	}
	return class, source, nil
}

func choosePolicy(terms *Terms, request Request) error {
	policy, source := Policy(""), ""
	if found, ok := request.Scheduler.realTime(); ok {
		policy, source = found, "process.scheduler.policy"
	}
	if choice, ok := request.Choices[KeyPolicy]; ok {
		policy, source = Policy(choice.Value), "annotation "+choice.Source
		if !slices.Contains(Policies, policy) {
			return fmt.Errorf("%s = %q: expected one of fifo, rr, deadline, other, batch", source, choice.Value)
		}
	}
	if policy == "" {
		return nil
	}
	terms.sources[KeyPolicy] = source
	if policy == terms.Policy {
		return nil
	}
	if policy.rank() > terms.Class.Policy.rank() {
		return fmt.Errorf("%s asks for policy %s, above class %s, which gives %s: ask for a class with that policy",
			source, policy, terms.Class.Name, terms.Class.Policy)
	}
	terms.Policy = policy
	if !policy.HasPriority() {
		terms.Priority = 0
	}
	return nil
}

func choosePriority(terms *Terms, request Request) error {
	priority, source := 0, ""
	if policy, ok := request.Scheduler.realTime(); ok && policy.HasPriority() && terms.Policy.HasPriority() {
		priority, source = request.Scheduler.Priority, "process.scheduler.priority"
	}
	if choice, ok := request.Choices[KeyPriority]; ok {
		number, err := strconv.Atoi(choice.Value)
		if err != nil {
			return fmt.Errorf("annotation %s = %q: expected a number, 1-99", choice.Source, choice.Value)
		}
		priority, source = number, "annotation "+choice.Source
		if !terms.Policy.HasPriority() {
			return fmt.Errorf("%s = %d: policy %s has no priority", source, number, terms.Policy)
		}
	}
	if source == "" {
		return nil
	}
	if priority < 1 || priority > 99 {
		return fmt.Errorf("%s = %d: expected a number, 1-99", source, priority)
	}
	if ceiling := terms.Class.MaxPriority; priority > ceiling {
		return fmt.Errorf("%s asks for priority %d; class %s allows at most %d: ask for less, or raise max_priority",
			source, priority, terms.Class.Name, ceiling)
	}
	terms.Priority, terms.sources[KeyPriority] = priority, source
	return nil
}

// checkRTPrio: a process may raise itself up to RLIMIT_RTPRIO, so a limit above the ceiling is a request above it.
func checkRTPrio(terms *Terms, request Request) error {
	if ceiling := uint64(max(terms.Class.MaxPriority, 0)); request.RTPrio > ceiling {
		return fmt.Errorf("RLIMIT_RTPRIO %d in process.rlimits is above the priority ceiling of class %s, %d: ask for less, or raise max_priority",
			request.RTPrio, terms.Class.Name, ceiling)
	}
	return nil
}

// checkRTTime: a limit of the container's own stays if it is as strict as the class's.
func checkRTTime(terms *Terms, request Request) error {
	ceiling := terms.Class.RTTime
	if ceiling == 0 || request.RTTime == nil || *request.RTTime <= uint64((2*ceiling).Microseconds()) {
		return nil
	}
	return fmt.Errorf("RLIMIT_RTTIME %d µs in process.rlimits is above that of class %s, %d: ask for less, or raise rttime",
		*request.RTTime, terms.Class.Name, (2 * ceiling).Microseconds())
}

func chooseDeadline(terms *Terms, request Request) error {
	if terms.Policy != Deadline {
		if choice, ok := request.Choices[KeyDeadline]; ok {
			return fmt.Errorf("annotation %s is for policy deadline; class %s gives %s", choice.Source, terms.Class.Name, terms.Policy)
		}
		terms.Deadline = Bandwidth{}
		return nil
	}
	asked := terms.Deadline
	source := ""
	if s := request.Scheduler; s != nil && s.Policy == "SCHED_DEADLINE" {
		asked = Bandwidth{Runtime: nanoseconds(s.Runtime), Deadline: nanoseconds(s.Deadline), Period: nanoseconds(s.Period)}
		if asked.Period == 0 {
			asked.Period = asked.Deadline // as the kernel reads it, sched(7)
		}
		source = "process.scheduler"
	}
	if choice, ok := request.Choices[KeyDeadline]; ok {
		asked, source = Bandwidth{}, "annotation "+choice.Source
		parsed, err := ParseBandwidth(choice.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		asked = parsed
	}
	if source == "" {
		return nil
	}
	if _, err := ParseBandwidth(asked.String()); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	// The class's bandwidth is the ceiling too: runtime/period is the share of the CPU that nothing else can have.
	if ceiling := terms.Class.Deadline; float64(asked.Runtime)/float64(asked.Period) > float64(ceiling.Runtime)/float64(ceiling.Period) {
		return fmt.Errorf("%s asks for a bandwidth of %s; class %s allows at most the share of %s", source, asked, terms.Class.Name, ceiling)
	}
	terms.Deadline, terms.sources[KeyDeadline] = asked, source
	return nil
}

func nanoseconds(n uint64) time.Duration { return time.Duration(min(n, uint64(1)<<62)) }

func chooseCPUs(terms *Terms, request Request) error {
	terms.Count = terms.Class.CPUs
	explicit, source := request.CPUs, "linux.resources.cpu.cpus"
	byHand := explicit != ""
	if choice, ok := request.Choices[KeyCPUSet]; ok {
		explicit, source, byHand = choice.Value, "annotation "+choice.Source, true
	}
	if byHand {
		set, err := ParseCPUs(explicit)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		if set.IsEmpty() {
			return fmt.Errorf("%s = %q: expected at least one CPU, such as 2-3", source, explicit)
		}
		terms.Explicit, terms.Count = set.CPUSet, set.Size()
		terms.sources[KeyCPUs] = source
	}
	if choice, ok := request.Choices[KeyCPUs]; ok {
		number, err := strconv.Atoi(choice.Value)
		if err != nil || number < 1 {
			return fmt.Errorf("annotation %s = %q: expected a number of whole CPUs, 1 or more", choice.Source, choice.Value)
		}
		if byHand && number != terms.Count {
			return fmt.Errorf("annotation %s asks for %d CPUs, but %s names %d of them (%s): make them agree, or remove one",
				choice.Source, number, source, terms.Count, terms.Explicit)
		}
		terms.Count = number
		if !byHand {
			terms.sources[KeyCPUs] = "annotation " + choice.Source
		}
	}
	if ceiling := terms.Class.MaxCPUs; terms.Count > ceiling {
		return fmt.Errorf("container %s asks for %d CPUs; class %s allows at most %d: ask for fewer, or raise max_cpus",
			request.Name, terms.Count, terms.Class.Name, ceiling)
	}
	return nil
}

func chooseWords(terms *Terms, request Request) error {
	for _, word := range []struct {
		key    string
		target *string
	}{{KeySMT, &terms.SMT}, {KeyNUMA, &terms.NUMA}, {KeyIRQ, &terms.IRQ}, {KeyPartition, &terms.Partition}} {
		choice, ok := request.Choices[word.key]
		if !ok {
			continue
		}
		if words := Words(word.key); !slices.Contains(words, choice.Value) {
			return fmt.Errorf("annotation %s = %q: expected one of %s", choice.Source, choice.Value, strings.Join(words, ", "))
		}
		*word.target = choice.Value
	}
	return nil
}
