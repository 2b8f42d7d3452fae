package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/rtshield/rtshield/internal/shield"
)

// class is a [class.<name>] table as written. What it leaves out comes from the built-in class of that name, else from
// the built-in class of its policy.
type class struct {
	Policy      *string  `toml:"policy"`
	Priority    *int     `toml:"priority"`
	MaxPriority *int     `toml:"max_priority"`
	Nice        *int     `toml:"nice"`
	Deadline    *string  `toml:"deadline"`
	CPUs        *int     `toml:"cpus"`
	MaxCPUs     *int     `toml:"max_cpus"`
	Shared      *bool    `toml:"shared"`
	SMT         *string  `toml:"smt"`
	NUMA        *string  `toml:"numa"`
	Near        *string  `toml:"near"`
	Partition   *string  `toml:"partition"`
	IRQ         *string  `toml:"irq"`
	Require     *string  `toml:"require_level"`
	IRQClaim    []string `toml:"irq_claim"`
	THP         *string  `toml:"thp"`
	Swap        *string  `toml:"swap"`
	MemPolicy   *string  `toml:"memory_policy"`
	Helpers     *string  `toml:"helpers"`
	L3          *string  `toml:"l3"`
	KSM         *string  `toml:"ksm"`
	HugePages   *string  `toml:"hugepages"`
	MaxPages    *string  `toml:"max_hugepages"`
	Exec        *string  `toml:"exec"`
	ExecCPUs    *string  `toml:"exec_cpus"`
	Ordinary    *string  `toml:"ordinary"`
	RTPrio      any      `toml:"rtprio"`
	Memlock     any      `toml:"memlock"`
	RTTime      *string  `toml:"rttime"`
	CStates     *string  `toml:"cstates"`
	Governor    *string  `toml:"governor"`
	Preference  *string  `toml:"energy_performance_preference"`
	MinFreq     *string  `toml:"scaling_min_freq"`
	FairServer  *string  `toml:"fair_server"`
}

func (c class) build(name string) (shield.Class, error) {
	builtin := shield.BuiltinClasses()
	built, known := builtin[name]
	switch {
	case known && (c.Policy == nil || shield.Policy(*c.Policy) == built.Policy):
	case c.Policy == nil:
		return built, option("policy", "", fmt.Sprintf("a policy, as class %s is not built in", name))
	default:
		if built, known = builtin[*c.Policy]; !known {
			built = builtin["batch"] // policy other: no priority, no rlimits
		}
	}
	built.Name = name
	if c.Policy != nil {
		built.Policy = shield.Policy(*c.Policy)
	}
	for _, number := range []struct{ from, to *int }{
		{c.Priority, &built.Priority}, {c.MaxPriority, &built.MaxPriority}, {c.Nice, &built.Nice},
		{c.CPUs, &built.CPUs}, {c.MaxCPUs, &built.MaxCPUs},
	} {
		if number.from != nil {
			*number.to = *number.from
		}
	}
	if c.Shared != nil {
		built.Shared = *c.Shared
	}
	if c.Deadline != nil {
		bandwidth, err := shield.ParseBandwidth(*c.Deadline)
		if err != nil {
			return built, option("deadline", *c.Deadline, "runtime/deadline/period such as 200us/1ms/1ms")
		}
		built.Deadline = bandwidth
	}
	if c.RTTime != nil {
		var err error
		if built.RTTime, err = time.ParseDuration(*c.RTTime); err != nil || built.RTTime < 0 {
			return built, option("rttime", *c.RTTime, "a duration such as 500ms, or 0 for none")
		}
	}
	if c.Near != nil {
		var err error
		if built.Near, err = shield.ParseNear(*c.Near); err != nil {
			return built, option("near", *c.Near, `"netdev eth1", "pci 0000:3b:00.0" or "irq-claim"`)
		}
	}
	if c.MaxPages != nil {
		var err error
		if built.MaxHugePages, err = shield.ParsePages(*c.MaxPages); err != nil {
			return built, option("max_hugepages", *c.MaxPages, `sizes of huge pages, each with a number, such as "1Gi=2, 2Mi=64"`)
		}
	}
	if c.L3 != nil {
		var err error
		if built.L3, err = shield.ParseL3(*c.L3); err != nil {
			return built, option("l3", *c.L3, err.Error())
		}
	}
	for _, pattern := range c.IRQClaim {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			return built, option("irq_claim", pattern, "names of interrupts or devices, or globs")
		}
	}
	if c.IRQClaim != nil {
		built.IRQClaim = c.IRQClaim
	}
	if err := c.words(&built); err != nil {
		return built, err
	}
	for _, word := range []struct{ from, to *string }{
		{c.CStates, &built.Power.CStates}, {c.Governor, &built.Power.Governor}, {c.Preference, &built.Power.Preference},
		{c.MinFreq, &built.Power.MinFreq}, {c.FairServer, &built.Power.FairServer},
	} {
		if word.from != nil {
			*word.to = *word.from
		}
	}
	// A class that only asks for more CPUs than the built-in ceiling means both.
	if c.CPUs != nil && c.MaxCPUs == nil {
		built.MaxCPUs = max(built.MaxCPUs, built.CPUs)
	}
	return built, built.Validate()
}

func (c class) words(built *shield.Class) error {
	for _, word := range []struct {
		name   string
		from   *string
		to     *string
		values []string
	}{
		{"smt", c.SMT, &built.SMT, shield.Words(shield.KeySMT)},
		{"numa", c.NUMA, &built.NUMA, shield.Words(shield.KeyNUMA)},
		{"irq", c.IRQ, &built.IRQ, shield.Words(shield.KeyIRQ)},
		{"require_level", c.Require, &built.RequireLevel, append([]string{""}, shield.Levels...)},
		{"thp", c.THP, &built.THP, []string{shield.Keep, shield.Never}},
		{"swap", c.Swap, &built.Swap, []string{shield.Keep, string(shield.Off)}},
		{"memory_policy", c.MemPolicy, &built.MemoryPolicy, []string{shield.Keep, shield.Bind}},
		{"helpers", c.Helpers, &built.Helpers, []string{shield.HelpersKeepHouse, shield.HelpersLeave}},
		{"ksm", c.KSM, &built.KSM, []string{shield.Keep, string(shield.Off)}},
		{"hugepages", c.HugePages, &built.HugePages, []string{shield.Static, shield.Reserve}},
		{"exec", c.Exec, &built.Exec, []string{shield.Demote, shield.Inherit}},
		{"exec_cpus", c.ExecCPUs, &built.ExecCPUs, []string{shield.ExecOnContainer, shield.ExecOnHousekeeping}},
		{"ordinary", c.Ordinary, &built.Ordinary, []string{shield.OrdinaryDedicated, shield.OrdinaryHousekeeping}},
		{"partition", c.Partition, &built.Partition, shield.Words(shield.KeyPartition)},
	} {
		if word.from == nil {
			continue
		}
		if !slices.Contains(word.values, *word.from) {
			return option(word.name, *word.from, fmt.Sprintf("one of %q", word.values))
		}
		*word.to = *word.from
	}
	for _, wish := range []struct {
		name string
		from any
		to   *shield.Wish
	}{{"rtprio", c.RTPrio, &built.RTPrio}, {"memlock", c.Memlock, &built.Memlock}} {
		switch wish.from {
		case nil:
		case true:
			*wish.to = shield.On
		case false:
			*wish.to = shield.Off
		case "require":
			*wish.to = shield.Require
		default:
			return option(wish.name, fmt.Sprint(wish.from), `true, false or "require"`)
		}
	}
	return nil
}
