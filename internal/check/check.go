// Package check says whether this host is fit for shielded containers: what its kernel, cgroups, firmware, services and
// engines give them, what that costs, and what to do. What a container would be given, and what this host cannot, is what
// create would decide and status would tell; what no other tool of ours looks at is read here.
package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/engine"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// Mark says how fit the host is in one respect.
type Mark string

// The marks.
const (
	// Good: nothing to do.
	Good Mark = "good"
	// Limit: shielded containers run, and have less than another host, kernel or setting would give them.
	Limit Mark = "limit"
	// Fail: a container that asks for a shield is refused.
	Fail Mark = "fail"
	// Unknown: it could not be looked at, or tried.
	Unknown Mark = "unknown"
)

// Finding is what was found in one respect. Its JSON form is a public interface (schema.json).
type Finding struct {
	Group string `json:"group"`
	Name  string `json:"check"`
	Mark  Mark   `json:"mark"`
	// Looked names the files that were read, or what was tried.
	Looked []string `json:"looked"`
	Found  string   `json:"found"`
	// Why it matters, and what it costs where somebody has said so who knows.
	Why    string  `json:"why,omitempty"`
	Micros *Micros `json:"microseconds,omitempty"`
	// Do are the ways to a better one: commands, options of the policy file. Boot is what the kernel could be booted with.
	Do   []string `json:"do,omitempty"`
	Boot string   `json:"boot,omitempty"`
	// Fix is what --fix does.
	Fix string `json:"fix,omitempty"`

	fix func(host.Root) error
}

// Micros is a time in µs.
type Micros struct {
	Value float64 `json:"value"`
	What  string  `json:"what"`
	// Source is who says so.
	Source string `json:"source"`
}

// Report is what was found. Its JSON form is a public interface (schema.json).
type Report struct {
	Schema       int         `json:"schema"`
	Kernel       string      `json:"kernel"`
	System       string      `json:"system"`
	Housekeeping shield.CPUs `json:"housekeeping"`
	Pool         shield.CPUs `json:"pool"`
	// Class is that of the container that was thought of, Level what it would have with the host to itself, "" if it would be
	// refused; Weaker says why it is no stronger one.
	Class  string `json:"class"`
	Level  string `json:"level"`
	Weaker string `json:"weaker,omitempty"`
	// Tried: something was tried, and not only looked at.
	Tried    bool      `json:"tried"`
	Findings []Finding `json:"findings"`
	// Boot puts together what the findings would boot with.
	Boot *Boot `json:"boot,omitempty"`
	// Fixed is what --fix has done, or would do; Unfixed what it could not, and why.
	Fixed   []string     `json:"fixed,omitempty"`
	Unfixed []string     `json:"unfixed,omitempty"`
	Totals  map[Mark]int `json:"totals"`
}

// Boot is a change of the kernel's command line, and how this distribution makes it.
type Boot struct {
	Options string `json:"options"`
	Do      string `json:"do"`
}

// ExitStatus is 0 for a fit host, 1 for one that refuses shielded containers, 2 where that cannot be told.
func (r *Report) ExitStatus() int {
	switch {
	case r.Totals[Fail] > 0:
		return 1
	case r.Totals[Unknown] > 0:
		return 2
	}
	return 0
}

// Delegate is a runtime that the policy names.
type Delegate struct {
	// Path is "" for one that was not found, and Err says why.
	Path, Name, Version string
	// Cannot names what containers cannot ask for with this one.
	Cannot []string
	Err    error
}

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

// view is what the findings are made of.
type view struct {
	Job
	topo    host.Topology
	facts   shield.Host
	layout  shield.Layout
	class   shield.Class
	ledger  *shield.Ledger
	grant   shield.Grant
	refused error
	weaker  string
	// limits are those that containers on the whole pool would have.
	limits    []shield.Limit
	limitsErr error
	config    platform.Config
	builtBy   string
	distro    distro
	trial     trial
}

var groups = []struct {
	name   string
	checks []func(*view) []Finding
}{
	{"CPUs", []func(*view) []Finding{pool, siblings, isolated, tick}},
	{"kernel", []func(*view) []Finding{preemption, realTime, throttling, fairServer, events, lockdown}},
	{"cgroups", []func(*view) []Finding{hierarchy, partition, ledger}},
	{"interrupts", []func(*view) []Finding{managed, balancer}},
	{"power", []func(*view) []Finding{sleepStates, frequency}},
	{"time", []func(*view) []Finding{clock, hypervisor, smis}},
	{"memory", []func(*view) []Finding{swap, hugePages, balancing}},
	{"services", []func(*view) []Finding{services}},
	{"runtimes", []func(*view) []Finding{delegates, rlimits, engines}},
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

func (j Job) view() (*view, error) {
	v := &view{Job: j, distro: readDistro(j.Root)}
	var err error
	if v.class, err = chooseClass(j.Policy.Classes, j.Class); err != nil {
		return nil, err
	}
	if v.config, v.builtBy, err = platform.ReadConfig(j.Root); err != nil {
		v.config = nil
	}
	if v.facts, err = reconcile.Host(j.Root); err != nil {
		return nil, err
	}
	v.ledger, err = j.Store.Peek()
	if err != nil && os.Geteuid() == 0 {
		return nil, err
	}
	if v.ledger == nil { // it is root's
		v.ledger = &shield.Ledger{}
	}
	if v.layout, err = shield.NewLayout(j.Policy.Layout, v.facts.Topology); err != nil {
		v.refused = err
		return v, nil
	}
	v.grant, v.weaker, v.refused = v.decide(&shield.Ledger{})
	v.topo = host.Topology(v.facts.Topology)
	if v.refused == nil {
		v.limits, v.limitsErr = v.foresee()
	}
	return v, nil
}

// chooseClass: fifo, unless another is named or the policy has no such class.
func chooseClass(classes map[string]shield.Class, name string) (shield.Class, error) {
	if name != "" {
		if class, known := classes[name]; known {
			return class, nil
		}
		return shield.Class{}, fmt.Errorf("class %q is not one of %s", name, shield.ClassNames(classes))
	}
	names := []string{"fifo"}
	for name := range classes {
		names = append(names, name)
	}
	slices.Sort(names[1:])
	var first shield.Class
	for _, name := range names {
		class, known := classes[name]
		if known && class.Policy.RealTime() {
			return class, nil
		}
		if known && first.Name == "" {
			first = class
		}
	}
	if first.Name == "" {
		return first, errors.New("the policy has no class")
	}
	return first, nil
}

// scratch is the cgroup that is thought of, and tried in. A level above it, as engines make them, keeps apart kernels that
// make partitions anywhere from those that do so right below the root.
const scratch = "rtshield-check"

// decide is the decision that create would make about a container of the class, with the reason for its level.
func (v *view) decide(ledger *shield.Ledger) (grant shield.Grant, weaker string, err error) {
	request := shield.Request{
		Key: reconcile.TrialKey, Name: scratch, LinkClass: v.class.Name, Cgroup: "/" + scratch + "/container",
	}
	terms, err := shield.Resolve(v.Policy.Classes, request)
	if err == nil {
		err = reconcile.Inquire(v.Root, &v.facts, v.layout, request.Name, terms)
	}
	if err == nil {
		grant, err = shield.Decide(v.Policy.Classes, v.layout, v.facts, ledger, request)
	}
	if err == nil {
		_, weaker = shield.LevelOf(v.layout, v.facts, request, terms, grant)
	}
	return grant, weaker, err
}

// foresee is what status would name as limits of containers that have the whole pool.
func (v *view) foresee() ([]shield.Limit, error) {
	wide := v.grant
	wide.CPUs, wide.Idle, wide.Bound = v.layout.Pool, shield.CPUsOf(cpuset.New()), true
	place, found, err := v.Root.Controller(os.Getpid(), "cpuset")
	if err != nil {
		return nil, err
	}
	if found {
		wide.Cgroups.Cpuset = filepath.Join(place.Mount, scratch)
	}
	ledger := *v.ledger
	ledger.Grants = slices.Clone(ledger.Grants)
	ledger.Housekeeping, ledger.Exempt = v.layout.Housekeeping, v.layout.Exempt
	ledger.Add(wide)
	plan, err := reconcile.Plan(v.Root, &ledger, nil)
	if err != nil {
		return nil, err
	}
	return status.Foreseen(v.Root, plan, wide), nil
}

// limitsOf gives the limits of some kinds.
func (v *view) limitsOf(kinds ...shield.Kind) []shield.Limit {
	var found []shield.Limit
	for _, limit := range v.limits {
		if slices.Contains(kinds, limit.Kind) {
			found = append(found, limit)
		}
	}
	return found
}

// one makes a list of a finding.
func one(finding Finding) []Finding { return []Finding{finding} }

// unread is a finding about what could not be read.
func unread(name string, looked []string, err error) []Finding {
	return one(Finding{Name: name, Mark: Unknown, Looked: looked, Found: "it could not be looked at: " + err.Error()})
}

// engineProgram says where an engine's program is, "" for none.
func engineProgram(root host.Root, e engine.Engine) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		path := filepath.Join(dir, e.Program)
		if info, err := os.Stat(root.Path(path)); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

func cpuText(cpus fmt.Stringer) string { return "CPU " + cpus.String() }

func joined(words []string) string { return strings.Join(words, ", ") }
