// Package status gathers what holds on this host now: how its CPUs are split, who has which, and what could not be
// taken away.
package status

import (
	"time"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Status is the state of a host. Its JSON form is a public interface.
type Status struct {
	Kernel string        `json:"kernel"`
	Layout shield.Layout `json:"layout"`
	// Free holds the CPUs of the pool that nobody has.
	Free shield.CPUs `json:"free"`
	// CPUs are all that the host has, by number.
	CPUs   []CPU   `json:"cpus"`
	Grants []Grant `json:"grants"`
	// Shared are the containers that have a class and no CPUs of their own.
	Shared []Shared `json:"shared,omitempty"`
	// Bandwidth is of those that asked for one, ordinary containers too.
	Bandwidth []Bandwidth `json:"bandwidth,omitempty"`
	// Pods are those of which containers hold CPUs.
	Pods []Pod `json:"pods,omitempty"`
	// Lost are cgroups of running containers that were granted CPUs, by a ledger that was deleted.
	Lost []string `json:"lost,omitempty"`
	// Promises are what rtshield verify would say now, for the metrics. Nil where nobody has looked.
	Promises *Promises `json:"-"`
	// Stale counts containers whose owner has died without a release; the next invocation cleans up after them.
	Stale int `json:"stale"`
}

// Grant is one live grant with everything that limits it.
type Grant struct {
	ID      string         `json:"id"`
	Root    string         `json:"root"`
	Name    string         `json:"name"`
	Class   string         `json:"class"`
	CPUs    shield.CPUs    `json:"cpus"`
	Idle    shield.CPUs    `json:"idle"`
	Mems    shield.CPUs    `json:"mems"`
	Policy  string         `json:"policy"`
	Level   string         `json:"level"`
	Power   shield.Power   `json:"power,omitzero"`
	PID     int            `json:"pid"`
	State   string         `json:"state"`
	Budget  shield.Budget  `json:"budget,omitzero"`
	Created string         `json:"created"`
	Limits  []shield.Limit `json:"limits"`
	// Interference is what has arrived on its CPUs since it got them. Nil before, and where the kernel does not tell.
	Interference *interference.Delta `json:"interference,omitempty"`
	// ExecCPUs are those of what exec adds, where they are not its own.
	ExecCPUs shield.CPUs `json:"execCPUs,omitzero"`
	// Ordinary are those of its ordinary part, Rules those for its threads, and Threads what these have.
	Ordinary shield.CPUs          `json:"ordinary,omitzero"`
	Rules    []string             `json:"rules,omitempty"`
	Threads  []shield.RuledThread `json:"threads,omitempty"`
	// From is engine where a kubelet chose its CPUs.
	From string `json:"from,omitempty"`
	// Helper is the pid of the engine's process that waits for it, Pod the one that it is of.
	Helper int         `json:"helper,omitempty"`
	Pod    *shield.Pod `json:"pod,omitempty"`
	// HugePages are those that it was promised.
	HugePages []shield.PageShare `json:"hugePages,omitempty"`
}

// Gather reads policy, ledger and kernel. It changes nothing. With a sample it waits for as long, and tells what containers with
// a bandwidth got meanwhile.
func Gather(root host.Root, sample time.Duration) (*Status, error) {
	policy, err := config.Load()
	if err != nil {
		return nil, err
	}
	bootID, err := root.BootID()
	if err != nil {
		return nil, err
	}
	store := shield.Store{Dir: policy.State, BootID: bootID}
	ledger, err := store.Peek()
	if err != nil {
		return nil, err
	}
	return Of(root, policy, store, ledger, sample)
}

// Of is Gather for who has read policy and ledger.
func Of(root host.Root, policy config.Config, store shield.Store, ledger *shield.Ledger, sample time.Duration) (*Status, error) {
	topo, err := root.Topology()
	if err != nil {
		return nil, err
	}
	layout, err := shield.NewLayout(policy.Layout, shield.Topology(topo))
	if err != nil {
		return nil, err
	}
	var lost []string
	if len(ledger.Grants) == 0 {
		if lost, err = reconcile.Lost(root, store, ledger); err != nil {
			return nil, err
		}
	}
	status := &Status{
		Kernel: root.Kernel(), Layout: layout, Free: shield.CPUsOf(layout.Pool.Difference(ledger.Held())), Grants: []Grant{}, Lost: lost,
	}
	if status.CPUs, err = Map(root, topo, layout, ledger.Grants); err != nil {
		return nil, err
	}
	plan, err := settledPlan(root, ledger)
	if err != nil {
		return nil, err
	}
	for _, grant := range ledger.Grants {
		if !reconcile.Live(root, grant) {
			status.Stale++
		}
		status.Grants = append(status.Grants, view(root, store, ledger, plan, grant))
	}
	status.Pods, status.Shared = podsOf(status.Grants), sharedOf(root, ledger)
	status.Bandwidth, err = bandwidths(root, store, ledger, sample)
	return status, err
}

func view(root host.Root, store shield.Store, ledger *shield.Ledger, plan []shield.Setting, grant shield.Grant) Grant {
	state := "starting"
	switch {
	case !reconcile.Live(root, grant):
		state = "stale"
	case grant.Bound:
		state = "bound"
	}
	limits := append([]shield.Limit{}, grant.Limits...)
	limits = append(limits, Limits(root, ledger, plan, grant)...)
	limits = append(limits, strayLimits(root, grant)...)
	limits = append(limits, pageLimits(root, ledger, grant)...)
	shown := Grant{
		ID: grant.ID, Root: grant.Root, Name: grant.Name, Class: grant.Class, CPUs: grant.CPUs, Idle: grant.Idle, Mems: grant.Mems,
		Policy: grant.PolicyText(), Level: grant.Level, Power: grant.Power, PID: grant.Owner.PID, State: state, Budget: grant.Budget, ExecCPUs: grant.ExecCPUs, Ordinary: grant.Ordinary, From: grant.From, HugePages: grant.HugePages,
		Created: grant.Created.Format("2006-01-02T15:04:05Z"), Limits: limits,
	}
	addThreads(root, store, grant, &shown)
	if grant.Helper.PID > 0 && root.Alive(grant.Helper.PID, grant.Helper.Start) {
		shown.Helper = grant.Helper.PID
	}
	if grant.Pod.ID != "" {
		shown.Pod = &grant.Pod
	}
	if delta, err := reconcile.Interference(root, grant); err == nil && state == "bound" {
		shown.Interference = &delta
	}
	return shown
}

// settledPlan looks twice where an interrupt seems to be where it should not: see shield.Setting.Written.
func settledPlan(root host.Root, ledger *shield.Ledger) ([]shield.Setting, error) {
	plan, err := reconcile.Plan(root, ledger, nil)
	for _, setting := range plan {
		if err == nil && setting.Kind == shield.IRQ && setting.Differs() && setting.Fixed == "" {
			time.Sleep(2 * time.Millisecond)
			plan, err = reconcile.Plan(root, ledger, nil)
			break
		}
	}
	return plan, err
}
