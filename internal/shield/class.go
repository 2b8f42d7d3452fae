package shield

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Policy is a scheduling policy by the name that chrt(1) and the annotations use.
type Policy string

// The policies that a class or a request can name.
const (
	FIFO     Policy = "fifo"
	RR       Policy = "rr"
	Deadline Policy = "deadline"
	Other    Policy = "other"
	Batch    Policy = "batch"
)

// Policies lists them all, strongest last.
var Policies = []Policy{Batch, Other, RR, FIFO, Deadline}

// RealTime says whether tasks of this policy run before all ordinary ones.
func (p Policy) RealTime() bool { return p == FIFO || p == RR || p == Deadline }

// HasPriority says whether the policy has a static priority, 1-99.
func (p Policy) HasPriority() bool { return p == FIFO || p == RR }

// rank orders policies by what they can do to a host: a request may go down from its class, not up.
func (p Policy) rank() int {
	switch p {
	case FIFO, RR:
		return 1
	case Deadline:
		return 2
	}
	return 0
}

// Bandwidth is the triple of SCHED_DEADLINE. All zero for other policies.
type Bandwidth struct {
	Runtime  time.Duration `json:"runtime"`
	Deadline time.Duration `json:"deadline"`
	Period   time.Duration `json:"period"`
}

// ParseBandwidth reads "runtime/deadline/period" as Go durations, such as 200us/1ms/1ms. The kernel wants
// 1024 ns ≤ runtime ≤ deadline ≤ period (sched_attr(2)).
func ParseBandwidth(text string) (Bandwidth, error) {
	wrong := fmt.Errorf("%q is not runtime/deadline/period such as 200us/1ms/1ms", text)
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return Bandwidth{}, wrong
	}
	var values [3]time.Duration
	for i, part := range parts {
		value, err := time.ParseDuration(part)
		if err != nil {
			return Bandwidth{}, wrong
		}
		values[i] = value
	}
	b := Bandwidth{Runtime: values[0], Deadline: values[1], Period: values[2]}
	if b.Runtime < 1024 || b.Runtime > b.Deadline || b.Deadline > b.Period {
		return Bandwidth{}, fmt.Errorf("%q: the kernel wants 1024ns ≤ runtime ≤ deadline ≤ period", text)
	}
	return b, nil
}

// String gives the form that ParseBandwidth reads.
func (b Bandwidth) String() string {
	return fmt.Sprintf("%v/%v/%v", b.Runtime, b.Deadline, b.Period)
}

// Wish is a class option that a host may be unable to fulfil.
type Wish string

// The three degrees of a wish.
const (
	Off Wish = "off"
	// On asks for it; a host that cannot is reported as a limit.
	On Wish = "on"
	// Require refuses the container on a host that cannot.
	Require Wish = "require"
)

// Words of options; Keep leaves a setting as it is.
const (
	Keep  = "keep"
	Never = "never"
	Bind  = "bind"
	// The words of option helpers.
	HelpersKeepHouse = "housekeeping"
	HelpersLeave     = "leave"
	// Inherit: what exec adds runs as the container does. Demote: it runs ordinary.
	Inherit = "inherit"
	Demote  = "demote"
)

// Thread policies, with the meaning of OpenStack Nova's hw:cpu_thread_policy.
const (
	SMTPrefer  = "prefer"
	SMTRequire = "require"
	SMTIsolate = "isolate"
)

// How a grant may lie on NUMA nodes: on one or refused, on one if it can be, or wherever its CPUs break up least.
const (
	NUMASingle = "single"
	NUMAPrefer = "prefer"
	NUMAAny    = "any"
)

// Class is a kind of service that the administrator defines: defaults and ceilings for the containers that ask for it.
type Class struct {
	Name   string
	Policy Policy
	// Priority is the default static priority, 1-99, of fifo and rr.
	Priority int
	// MaxPriority is the highest that a container may choose.
	MaxPriority int
	// Nice is -20 to 19, for other and batch.
	Nice int
	// Deadline is the default bandwidth of policy deadline.
	Deadline Bandwidth
	// CPUs is how many a container gets that does not say; MaxCPUs how many it may choose.
	CPUs    int
	MaxCPUs int
	// Shared: a pod's container that the kubelet gave no CPUs of its own may have policy and priority without any.
	Shared bool
	// SMT is prefer, require or isolate.
	SMT string
	// NUMA is single, prefer or any. Near is a device whose node is wanted.
	NUMA string
	Near Near
	// IRQ is "away" or "keep".
	IRQ string
	// IRQClaim names the interrupts that containers may claim, as names or globs. Empty: none.
	IRQClaim []string
	// Partition is "auto", "isolated", "root" or "none".
	Partition string
	// RequireLevel is the weakest level that will do: affinity, cpuset or partition. Empty: any.
	RequireLevel string
	// THP is "keep" or "never", Swap "keep" or "off", MemoryPolicy "keep" or "bind".
	THP, Swap, MemoryPolicy string
	// L3 is how many ways of the last level of cache no other task fills; 0: it is shared.
	L3 int
	// Helpers is "housekeeping" or "leave": what becomes of the engine's process that waits for the container.
	Helpers string
	// KSM is "keep", or "off": the kernel does not merge the container's memory with that of others.
	KSM string
	// HugePages is "static" or "reserve". MaxHugePages bounds how many of each size a container may ask for; empty: no bound.
	HugePages    string
	MaxHugePages []Pages
	// Exec is "demote" or "inherit": the policy of processes added by exec.
	Exec string
	// ExecCPUs is "container" or "housekeeping": the CPUs of processes added by exec.
	ExecCPUs string
	// Ordinary is "dedicated" or "housekeeping": where the ordinary part of a container with realtime-mask is.
	Ordinary string
	// RTPrio raises RLIMIT_RTPRIO to MaxPriority, Memlock RLIMIT_MEMLOCK to unlimited.
	RTPrio  Wish
	Memlock Wish
	// RTTime is how long a real-time thread may run without once waiting, RLIMIT_RTTIME; zero: for ever.
	RTTime time.Duration
	Power  Power
}

// The kernel counts RLIMIT_RTTIME in ticks, of 10 ms where they are longest.
const (
	minRTTime = 10 * time.Millisecond
	maxRTTime = time.Hour
)

// BuiltinClasses gives the classes of a host without a policy file, by name.
func BuiltinClasses() map[string]Class {
	keep := Power{CStates: Keep, Governor: Keep, Preference: Keep, MinFreq: Keep, FairServer: Keep}
	fast := keep
	fast.CStates, fast.Governor, fast.Preference = "20us", "performance", "performance"
	base := Class{
		CPUs: 1, MaxCPUs: 4, SMT: SMTIsolate, NUMA: NUMAPrefer, IRQ: "away", Partition: "auto", Exec: Demote, ExecCPUs: ExecOnContainer, Ordinary: OrdinaryDedicated, RTPrio: Off, Memlock: Off,
		THP: Keep, Swap: Keep, MemoryPolicy: Keep, KSM: Keep, HugePages: Static, Helpers: HelpersKeepHouse, Power: keep,
	}
	with := func(change func(*Class)) Class {
		class := base
		change(&class)
		return class
	}
	realtime := func(name string, policy Policy) Class {
		return with(func(c *Class) {
			c.Name, c.Policy, c.Priority, c.MaxPriority = name, policy, 50, 80
			c.RTPrio, c.Memlock, c.Swap, c.KSM, c.Power = On, On, string(Off), string(Off), fast
		})
	}
	return map[string]Class{
		"fifo": realtime("fifo", FIFO),
		"rr":   realtime("rr", RR),
		"deadline": with(func(c *Class) {
			c.Name, c.Policy, c.Memlock, c.Swap, c.KSM, c.Power = "deadline", Deadline, On, string(Off), string(Off), fast
			c.Deadline = Bandwidth{Runtime: 500 * time.Microsecond, Deadline: time.Millisecond, Period: time.Millisecond}
		}),
		"batch": with(func(c *Class) { c.Name, c.Policy = "batch", Batch }),
	}
}

// Validate checks a class for values that cannot be meant. The error names the option as the policy file does.
func (c Class) Validate() error {
	switch {
	case !slices.Contains(Policies, c.Policy):
		return optionError("policy", string(c.Policy), "one of fifo, rr, deadline, other, batch")
	case c.Policy.HasPriority() && (c.Priority < 1 || c.Priority > 99):
		return optionError("priority", fmt.Sprint(c.Priority), "1-99")
	case c.Policy.HasPriority() && (c.MaxPriority < 1 || c.MaxPriority > 99):
		return optionError("max_priority", fmt.Sprint(c.MaxPriority), "1-99")
	case c.Policy.HasPriority() && c.Priority > c.MaxPriority:
		return optionError("priority", fmt.Sprint(c.Priority), fmt.Sprintf("at most max_priority, %d", c.MaxPriority))
	case c.Nice < -20 || c.Nice > 19:
		return optionError("nice", fmt.Sprint(c.Nice), "-20 to 19")
	case c.CPUs < 1:
		return optionError("cpus", fmt.Sprint(c.CPUs), "1 or more")
	case c.MaxCPUs < c.CPUs:
		return optionError("max_cpus", fmt.Sprint(c.MaxCPUs), fmt.Sprintf("at least cpus, %d", c.CPUs))
	case c.RTTime != 0 && !c.Policy.HasPriority():
		return optionError("rttime", c.RTTime.String(), "no rttime: it bounds policies fifo and rr")
	case c.RTTime != 0 && (c.RTTime < minRTTime || c.RTTime > maxRTTime):
		return optionError("rttime", c.RTTime.String(), fmt.Sprintf("%v to %v", minRTTime, maxRTTime))
	case c.Policy == Deadline && c.Deadline == Bandwidth{}:
		return optionError("deadline", "", "runtime/deadline/period such as 200us/1ms/1ms")
	}
	if err := c.validateExecCPUs(); err != nil {
		return err
	}
	if err := c.validateShared(); err != nil {
		return err
	}
	if err := c.validateHugePages(); err != nil {
		return err
	}
	return c.Power.Validate()
}

// validateExecCPUs: housekeeping CPUs are for ordinary work, a partition has no CPU but its own, and SCHED_DEADLINE wants an
// affinity that spans a whole root domain.
func (c Class) validateExecCPUs() error {
	if c.ExecCPUs != ExecOnHousekeeping {
		return nil
	}
	beside := func(option, value string) error {
		return optionError("exec_cpus", c.ExecCPUs, fmt.Sprintf("%q beside %s = %q", ExecOnContainer, option, value))
	}
	switch {
	case c.Exec == Inherit:
		return beside("exec", c.Exec)
	case c.Partition == Root || c.Partition == Isolated:
		return beside("partition", c.Partition)
	case c.RequireLevel == LevelPartition:
		return beside("require_level", c.RequireLevel)
	case c.Policy == Deadline:
		return beside("policy", string(c.Policy))
	}
	return nil
}

// OptionError is a value of the policy file that cannot be used.
type OptionError struct{ Option, Value, Want string }

func optionError(option, value, want string) error { return &OptionError{option, value, want} }

func (e *OptionError) Error() string {
	return fmt.Sprintf("%s = %q: expected %s", e.Option, e.Value, e.Want)
}

// ClassNames gives the names in order, for messages.
func ClassNames(classes map[string]Class) string {
	names := make([]string, 0, len(classes))
	for name := range classes {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
