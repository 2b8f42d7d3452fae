package shield

import (
	"fmt"
	"slices"

	"k8s.io/utils/cpuset"
)

// Shared is what a container has of its class that has no CPUs of its own, but those of all others (class option shared): policy
// and ceilings. Nothing is kept off them for it, and it keeps nobody from getting time there.
type Shared struct {
	Class    string `json:"class"`
	Policy   Policy `json:"policy"`
	Priority int    `json:"priority,omitempty"`
	Nice     int    `json:"nice,omitempty"`
	// Budget is what its real-time threads may have of each CPU, where cgroups have budgets for that (v1 with RT_GROUP_SCHED);
	// Budgets are the directories that hold it.
	Budget  Budget   `json:"budget,omitzero"`
	Budgets []string `json:"budgets,omitempty"`
	Pod     Pod      `json:"pod,omitzero"`
}

// LevelShared is what a shared container finds as its level. It is none of Levels: nobody is kept off.
const LevelShared = "shared"

// Of the root's real-time budget all shared containers together have a tenth of each CPU, and one that does not ask has half of
// that. What is theirs is never granted to others, so that it does not matter who comes first.
const (
	amongAll  = 10 * one
	amongEach = 5 * one
)

// Grant is what the promises of a shared container look like as those of a grant.
func (s Shared) Grant(key Key, name string) Grant {
	return Grant{
		Key: key, Name: name, Class: s.Class, Policy: s.Policy, Priority: s.Priority, Nice: s.Nice, Budget: s.Budget, Pod: s.Pod,
		Cgroups: Cgroups{Budgets: s.Budgets},
	}
}

// ownKeys ask for what only a container with CPUs of its own can have.
var ownKeys = []string{
	KeyCPUs, KeyCPUSet, KeySMT, KeyIRQ, KeyPartition, KeyIRQClaim, KeyCStates, KeyGovernor, KeyNUMA, KeyNear, KeyRealtimeMask,
	KeyThreads, KeyHugePages, KeyDeadline,
}

// ResolveShared holds the request of a shared container to its class.
func ResolveShared(classes map[string]Class, root Budget, ledger *Ledger, request Request) (Shared, error) {
	for _, key := range ownKeys {
		if choice, ok := request.Choices[key]; ok {
			return Shared{}, fmt.Errorf("annotation %s = %q is for a container with CPUs of its own, and the kubelet gave container %s none: leave it out, or give its pod Guaranteed QoS and whole CPUs",
				choice.Source, choice.Value, request.Name)
		}
	}
	terms, err := ofClass(classes, request)
	if err != nil {
		return Shared{}, err
	}
	for _, step := range []func(*Terms, Request) error{choosePolicy, choosePriority, checkRTPrio, checkRTTime, chooseRTBandwidth} {
		if err := step(&terms, request); err != nil {
			return Shared{}, err
		}
	}
	shared := Shared{Class: terms.Class.Name, Policy: terms.Policy, Priority: terms.Priority, Nice: terms.Nice, Pod: request.Pod}
	if terms.Policy == Deadline { // process.scheduler alone can ask for it, and above its class it was refused
		return Shared{}, fmt.Errorf("container %s asks for policy deadline, and has no CPUs of its own", request.Name)
	}
	if root.Period == 0 {
		if choice, ok := request.Choices[KeyRTBandwidth]; ok {
			return shared, fmt.Errorf("annotation %s = %q: container %s has no CPUs of its own, and this kernel has no budget for the real-time threads of a cgroup (RT_GROUP_SCHED, cgroup v1): leave it out",
				choice.Source, choice.Value, request.Name)
		}
		return shared, nil
	}
	if !terms.Policy.HasPriority() {
		return shared, nil
	}
	shared.Budget, err = sharedBudget(root, ledger, request, terms)
	return shared, err
}

func sharedBudget(root Budget, ledger *Ledger, request Request, terms Terms) (Budget, error) {
	asked := Budget{Runtime: amongEach.of(root.Period), Period: root.Period}
	switch {
	case terms.RTBandwidth > 0:
		asked.Runtime = terms.RTBandwidth.of(root.Period)
	case request.Budget.Runtime > 0:
		asked.Runtime = scale(request.Budget, root.Period)
	}
	left := amongAll.of(root.Period)
	for _, ordinary := range ledger.Ordinary {
		if ordinary.Shared != nil && ordinary.Key != request.Key {
			left -= scale(ordinary.Shared.Budget, root.Period)
		}
	}
	if asked.Runtime > left {
		return asked, fmt.Errorf("container %s would have %d µs of each %d for its real-time threads (RT_GROUP_SCHED); of the %s that all containers without CPUs of their own have together %d µs are left: stop one, or ask for less (%s/%s)",
			request.Name, asked.Runtime, root.Period, amongAll, max(left, 0), Domain, KeyRTBandwidth)
	}
	return asked, nil
}

// granted is what grants may have of the root's real-time budget: all of it, unless some class may be shared.
func granted(root Budget, classes map[string]Class) Budget {
	for _, class := range classes {
		if class.Shared && root.Period > 0 {
			return Budget{Runtime: rootRuntime(root) - amongAll.of(root.Period), Period: root.Period}
		}
	}
	return root
}

// validateShared: what a class may promise that is to run among others.
func (c Class) validateShared() error {
	beside := func(option, value string) error {
		return optionError("shared", "true", fmt.Sprintf("false beside %s = %q", option, value))
	}
	switch {
	case !c.Shared:
		return nil
	case c.Policy == Deadline: // it wants an affinity that spans a whole root domain
		return beside("policy", string(c.Policy))
	case c.RequireLevel != "":
		return beside("require_level", c.RequireLevel)
	case c.Exec == Inherit:
		return beside("exec", c.Exec)
	}
	return nil
}

// funded lists the cgroups that need a real-time budget: chains from below the mount, with what the last of each is to have.
func (l *Ledger) funded() []fund {
	var funds []fund
	for _, grant := range l.Grants {
		funds = append(funds, fund{grant.Cgroups.Budgets, grant.Budget})
	}
	for _, ordinary := range l.Ordinary {
		if ordinary.Shared != nil {
			funds = append(funds, fund{ordinary.Shared.Budgets, ordinary.Shared.Budget})
		}
	}
	return slices.DeleteFunc(funds, func(f fund) bool { return len(f.chain) == 0 })
}

type fund struct {
	chain  []string
	budget Budget
}

// BudgetDirs are the directories of all cgroups that need a real-time budget.
func (l *Ledger) BudgetDirs() []string {
	var dirs []string
	for _, fund := range l.funded() {
		dirs = append(dirs, fund.chain...)
	}
	return dirs
}

// Fairness is what keeps time for ordinary threads on the CPUs of a shared container, where no budget of its cgroup does.
type Fairness struct {
	// Starved are CPUs whose fair server is off (Linux 6.12). Servers: there are such.
	Starved cpuset.CPUSet
	Servers bool
	// Throttle is what real-time threads may have of each CPU of the host (kernel.sched_rt_runtime_us). Runtime -1 is all.
	Throttle Budget
}

// Fair refuses a shared container that could keep all others off a CPU.
func (s Shared) Fair(name string, fairness Fairness) error {
	if !s.Policy.RealTime() || s.Budget.Period > 0 {
		return nil
	}
	refuse := func(why, help string) error {
		return fmt.Errorf("container %s may not run as %s among others (class %s, shared): %s: %s", name, s.Grant(Key{}, name).PolicyText(), s.Class, why, help)
	}
	switch t := fairness.Throttle; {
	case !fairness.Starved.IsEmpty():
		return refuse(fmt.Sprintf("the fair server of CPU %s is off, and nothing would keep time for ordinary threads there", fairness.Starved), "set its runtime")
	case !fairness.Servers && (t.Runtime < 0 || t.Runtime >= t.Period):
		return refuse("nothing keeps time for ordinary threads on this host", "set kernel.sched_rt_runtime_us below sched_rt_period_us, or use Linux 6.12")
	}
	return nil
}
