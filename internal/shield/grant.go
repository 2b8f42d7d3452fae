package shield

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Owner is the process that a grant lives and dies with. The start time tells it from a later process with its pid.
type Owner struct {
	PID int `json:"pid"`
	// Start is field 22 of /proc/PID/stat, in clock ticks since boot.
	Start uint64 `json:"start"`
}

// Limit is something that a class promises and a container does not have, with the reason and what would help.
type Limit struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Help string `json:"help,omitempty"`
	// Kind is that of the setting which it is about. Empty for what is none.
	Kind Kind `json:"kind,omitempty"`
	// Drift: the container had it, and somebody has changed it since. Else this host cannot do it.
	Drift bool `json:"drift,omitempty"`
}

func (l Limit) String() string {
	text := l.What + ": " + l.Why
	if l.Help != "" {
		text += " (" + l.Help + ")"
	}
	return text
}

// Grant is what a container got.
type Grant struct {
	Key
	Name  string `json:"name"`
	Class string `json:"class"`
	CPUs  CPUs   `json:"cpus"`
	Mems  CPUs   `json:"mems"`
	// Idle holds siblings of CPUs that stay without any work.
	Idle     CPUs      `json:"idle"`
	Policy   Policy    `json:"policy"`
	Priority int       `json:"priority,omitempty"`
	Nice     int       `json:"nice,omitempty"`
	Deadline Bandwidth `json:"deadline,omitzero"`
	IRQ      string    `json:"irq"`
	// SMT is prefer, require or isolate.
	SMT string `json:"smt,omitempty"`
	// NUMA is single, prefer or any; Near what its CPUs were to be next to, on NearNodes.
	NUMA      string `json:"numa,omitempty"`
	Near      string `json:"near,omitempty"`
	NearNodes CPUs   `json:"nearNodes,omitzero"`
	// Exec is inherit where what exec adds runs as the container does.
	Exec string `json:"exec,omitempty"`
	// ExecCPUs are those of what exec adds, where they are not the container's own. Nobody holds them.
	ExecCPUs CPUs `json:"execCPUs,omitzero"`
	// Mask is its realtime-mask, and Ordinary the CPUs of its ordinary part: of its first process, of what exec adds, and of
	// threads without a rule. They are its own, or housekeeping CPUs, which nobody holds. Empty: all of it is alike.
	Mask     string `json:"mask,omitempty"`
	Ordinary CPUs   `json:"ordinary,omitzero"`
	// House are housekeeping CPUs beside a dedicated ordinary part, see ExecFrom.
	House CPUs `json:"house,omitzero"`
	// Threads are the rules for its threads, of which the first that fits counts.
	Threads []ThreadRule `json:"threads,omitempty"`
	// Starting is what its first process was called before it became the container's program. Until then no rule counts.
	Starting string `json:"starting,omitempty"`
	// Move is under way while the engine gives it other CPUs.
	Move *Move `json:"move,omitempty"`
	// From is engine where the kubelet chose its CPUs, and may choose others.
	From string `json:"from,omitempty"`
	// Asked is what the engine had written of the CPUs, and will write again with each update.
	Asked Asked `json:"asked,omitzero"`
	// Claim names the interrupts that are brought onto its CPUs, as far as Claimable, the class's list, allows.
	Claim     []string `json:"claim,omitempty"`
	Claimable []string `json:"claimable,omitempty"`
	Memory    Memory   `json:"memory,omitzero"`
	// HugePages are those that it was promised.
	HugePages []PageShare `json:"hugePages,omitempty"`
	// Ways are those of the L3 that no other task fills.
	Ways  Ways  `json:"ways,omitempty"`
	Power Power `json:"power,omitzero"`
	// Budget is what the container's cgroup gets of the real-time budget, on cgroup v1 with RT_GROUP_SCHED. Zero
	// elsewhere.
	Budget Budget `json:"budget,omitzero"`
	// Share bounds the CPU time of its ordinary threads, RTBandwidth that of its real-time ones on each of its CPUs: by Budget,
	// or by Power.FairServer where the kernel has no budgets. Zero where it does not ask.
	Share       Share   `json:"share,omitzero"`
	RTBandwidth Percent `json:"rtBandwidth,omitempty"`
	// Level is how strongly others are kept off the CPUs, Partition the type that the container's cgroup becomes at
	// level partition.
	Level     string `json:"level"`
	Partition string `json:"partition,omitempty"`
	// Local: the partition stands right below the root, and no directory above lends it its CPUs (Linux before 6.7).
	Local bool `json:"local,omitempty"`
	// Pinned: the host has no cpuset controller, and the hook sets the affinity of the container's first process.
	Pinned bool    `json:"pinned,omitempty"`
	Limits []Limit `json:"limits,omitempty"`
	// Owner is the runtime's process until the createRuntime hook binds the container's init.
	Owner Owner `json:"owner"`
	// Helper is the engine's process that called for the container and waits for it, such as containerd-shim or conmon: it keeps
	// house, unless LeaveHelper.
	Helper      Owner `json:"helper,omitzero"`
	LeaveHelper bool  `json:"leaveHelper,omitempty"`
	// Pod is the one that the container is of.
	Pod     Pod       `json:"pod,omitzero"`
	Bound   bool      `json:"bound"`
	Bundle  string    `json:"bundle"`
	Created time.Time `json:"created"`
	Cgroups Cgroups   `json:"cgroups"`
	// Start is what had been counted on its CPUs when it got them (internal/host/interference); status tells what has come
	// since. Policy does not look into it.
	Start json.RawMessage `json:"start,omitempty"`
	// Throttle is what the whole host gave real-time threads of each CPU then (kernel.sched_rt_runtime_us), where some may be.
	// Zero where that is not known.
	Throttle Budget `json:"throttle,omitzero"`

	// won are the comparisons that chose its CPUs, for Places.
	won []contest
}

// Pod is a pod of Kubernetes. The zero value is none.
type Pod struct {
	// ID is that of its sandbox, Name namespace/name.
	ID   string `json:"id"`
	Name string `json:"name"`
	// UID is the kubelet's name for it, and QoS its class there, as its cgroup tells. Empty for a pod of nobody's.
	UID string `json:"uid,omitempty"`
	QoS string `json:"qos,omitempty"`
}

// Memory is what is done so that the container does not wait for memory. The zero value is nothing.
type Memory struct {
	// THP is never where transparent huge pages are off for its processes.
	THP string `json:"thp,omitempty"`
	// Swap is the file of the memory controller that keeps it from swap.
	Swap string `json:"swap,omitempty"`
	// Policy is bind where linux.memoryPolicy binds it to its nodes.
	Policy string `json:"policy,omitempty"`
	// KSM is off where it would have been on for its processes.
	KSM string `json:"ksm,omitempty"`
}

// Cgroups are the absolute directories of a bound container.
type Cgroups struct {
	// Cpuset is where its cpuset is set. On cgroup v2 that is the only directory.
	Cpuset string `json:"cpuset,omitempty"`
	// Partition is the chain of cgroup v2 directories that lend the grant its exclusive CPUs, top-down, the container's
	// own last. Empty where no partition is made.
	Partition []string `json:"partition,omitempty"`
	// Idle is the cgroup v2 directory that keeps idle siblings from all tasks.
	Idle string `json:"idle,omitempty"`
	// Budgets is the chain of cgroup v1 cpu directories that need a real-time budget, top-down, the container's own
	// last. Empty where the kernel wants none.
	Budgets []string `json:"budgets,omitempty"`
	// CPU is where its ordinary threads' bandwidth is bound. Empty where it is not.
	CPU string `json:"cpu,omitempty"`
	// Account is where its CPU time is counted: cpuacct on cgroup v1.
	Account string `json:"account,omitempty"`
}

// Move is what a container holds beside its CPUs while it changes to others.
type Move struct {
	// CPUs are those that it goes to, Idle their siblings that stay without any work.
	CPUs CPUs `json:"cpus"`
	Idle CPUs `json:"idle"`
	// Owner is the rtshield that carries it out.
	Owner Owner `json:"owner"`
}

// Held is all that nobody else may have.
func (g Grant) Held() CPUs {
	held := g.CPUs.Union(g.Idle.CPUSet)
	if g.Move != nil {
		held = held.Union(g.Move.CPUs.CPUSet).Union(g.Move.Idle.CPUSet)
	}
	return CPUsOf(held)
}

// Needs says whether a promise of the grant rests on this setting: its real-time budget, its partition, or what a directory
// above lends it; the fair server that bounds its real-time threads; a pool with huge pages that are reserved for it, or ways of
// the L3.
func (g Grant) Needs(knob Knob) bool {
	switch knob.Kind {
	case RTBudget:
		return slices.Contains(g.Cgroups.Budgets, knob.Name)
	case FairServer:
		cpu, err := strconv.Atoi(knob.Name)
		return g.RTBandwidth > 0 && g.Budget.Period == 0 && err == nil && g.CPUs.Contains(cpu)
	case L3Ways:
		return len(g.Ways) > 0
	case HugePagePool:
		return slices.ContainsFunc(g.HugePages, func(s PageShare) bool { return s.Reserved > 0 && s.Knob() == knob })
	case Exclusive, Partition:
		return slices.Contains(g.Cgroups.Partition, knob.Name) || knob.Name != "" && knob.Name == g.Cgroups.Idle
	}
	return false
}

// PolicyText gives policy and parameters as people write them: "fifo 50", "other nice -5".
func (g Grant) PolicyText() string {
	switch {
	case g.Policy.HasPriority():
		return fmt.Sprintf("%s %d", g.Policy, g.Priority)
	case g.Policy == Deadline:
		return fmt.Sprintf("%s %s", g.Policy, g.Deadline)
	case g.Nice != 0:
		return fmt.Sprintf("%s nice %d", g.Policy, g.Nice)
	}
	return string(g.Policy)
}

// Ordinary is a container without CPUs of its own, whose cpuset is cut as far as others hold CPUs that it could have used.
type Ordinary struct {
	Key
	Name string `json:"name"`
	// Wanted is the cpuset it has when nobody holds a CPU. Empty means all that its parent has.
	Wanted CPUs   `json:"wanted"`
	Owner  Owner  `json:"owner"`
	Bound  bool   `json:"bound"`
	Cpuset string `json:"cpuset,omitempty"`
	// Shared is what it has of a class, nil for a container without one.
	Shared *Shared `json:"shared,omitempty"`
}
