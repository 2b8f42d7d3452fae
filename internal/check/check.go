// Package check says whether this host is fit for shielded containers: what its kernel, cgroups, firmware, services and
// engines give them, what that costs, and what to do. What a container would be given, and what this host cannot, is what
// create would decide and status would tell; what no other tool of ours looks at is read here.
package check

import (
	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Job is what check works with.
type Job struct {
	Root   host.Root
	Policy config.Config
	Store  shield.Store
	// Class is that of the container to think of.
	Class string
	// Delegates are those of the policy, the first that was found first.
	Delegates []Delegate
	// Privilege says why this process may try nothing; nil if it may.
	Privilege error
	// Try: what can be tried is tried.
	Try bool

	// tried stands for try in tests.
	tried func(*view) (trial, error)
}

var groups = []struct {
	name   string
	checks []func(*view) []Finding
}{
	{"CPUs", []func(*view) []Finding{pool, siblings, isolated, tick}},
	{"kernel", []func(*view) []Finding{preemption, realTime, rcuThreads, throttling, quotas, fairServer, events, lockdown}},
	{"cgroups", []func(*view) []Finding{hierarchy, partition, ledger}},
	{"interrupts", []func(*view) []Finding{managed, balancer}},
	{"power", []func(*view) []Finding{sleepStates, frequency}},
	{"time", []func(*view) []Finding{clock, hypervisor, smis}},
	{"memory", []func(*view) []Finding{swap, hugePages, balancing}},
	{"services", []func(*view) []Finding{services}},
	{"runtimes", []func(*view) []Finding{delegates, rlimits, engines, node}},
}

// Look makes the report. It changes nothing that it does not put back; what it tries takes the ledger's lock.
func (j Job) Look() (*Report, error) {
	v, err := j.view()
	if err != nil {
		return nil, err
	}
	switch {
	case j.Privilege != nil:
		v.trial = untried(j.Privilege.Error())
	case !j.Try:
		v.trial = untried("it was to be left out")
	case j.tried != nil:
		v.trial, err = j.tried(v)
	default:
		if v.trial, err = v.try(); err == nil {
			v.ledger, err = j.Store.Peek() // who takes the lock releases what has ended
		}
	}
	if err != nil {
		return nil, err
	}
	report := &Report{
		Schema: 1, Kernel: j.Root.Kernel(), System: v.distro.name, Housekeeping: v.layout.Housekeeping, Pool: v.layout.Pool,
		Class: v.class.Name, Level: v.grant.Level, Weaker: v.weaker, Tried: v.trial.tried(), Findings: []Finding{}, Totals: map[Mark]int{},
	}
	for _, group := range groups {
		for _, check := range group.checks {
			for _, finding := range check(v) {
				finding.Group = group.name
				report.Findings = append(report.Findings, finding)
				report.Totals[finding.Mark]++
			}
		}
	}
	report.Boot = v.distro.bootAll(report.Findings)
	return report, nil
}
