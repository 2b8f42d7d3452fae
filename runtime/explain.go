package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/spec"
)

// Explanation is what create would do with a bundle.
type Explanation struct {
	Delegate string        `json:"delegate"`
	Layout   shield.Layout `json:"layout"`
	// Grant is nil for an ordinary container.
	Grant *shield.Grant `json:"grant"`
	// Shared is for a container without CPUs of its own, whose class lets it run among others.
	Shared *Joined `json:"shared,omitempty"`
	// Share is what an ordinary container may have of CPU time.
	Share shield.Share `json:"share,omitzero"`
	// Places tells how its CPUs were chosen, from the nodes inwards. Empty where there was no choice.
	Places []shield.Places `json:"places,omitempty"`
	// Why tells of each decision where it is from.
	Why []shield.Source `json:"why"`
	// Config lists the edits of config.json, Host the kernel settings, both as path: from → to.
	Config []spec.Change `json:"config"`
	Host   []spec.Change `json:"host"`
}

// Explain makes the decision that create would make now for this bundle on a host, and changes nothing. class stands for the
// name of the link that the engine would call; root and id for the delegate's.
func Explain(on host.Root, bundle, root, id, class string) (*Explanation, error) {
	defer func(own host.Root) { system = own }(system)
	system = on
	m, err := gather(bundle, root, id, class)
	if errors.Is(err, errNothing) {
		return nil, fmt.Errorf("bundle %s has no config.json that can be read", bundle)
	}
	if err != nil {
		return nil, err
	}
	survey := m.survey
	if m.request.Asks() && !m.request.Shared {
		survey = m.inquire
	}
	if err := survey(); err != nil {
		return nil, err
	}
	store, err := m.store()
	if err != nil {
		return nil, err
	}
	ledger, err := store.Peek()
	if err != nil {
		return nil, err
	}
	explanation := &Explanation{Delegate: m.delegate, Layout: m.layout}
	if m.request.Shared {
		if explanation.Shared, err = m.joins(ledger); err != nil {
			return nil, err
		}
	}
	if !m.request.Asks() || m.request.Shared {
		explanation.Share, err = m.share()
		explanation.Config, explanation.Why = m.document.Changes(), shield.OrdinarySources(m.request)
		return explanation, err
	}
	grant, err := m.grant(ledger)
	if err != nil {
		return nil, err
	}
	bound := grant
	if explanation.Host, err = m.foresee(ledger, &bound); err != nil {
		return nil, err
	}
	grant.Limits = bound.Limits
	explanation.Places = grant.Places(m.facts.Topology)
	explanation.Grant, explanation.Config = &grant, m.document.Changes()
	explanation.Why, err = m.sources(grant)
	return explanation, err
}

// sources completes what the policy says of a grant by what only the policy file can tell: where its values stand.
func (m *matter) sources(grant shield.Grant) ([]shield.Source, error) {
	terms, err := shield.Resolve(m.config.Classes, m.request)
	if err != nil {
		return nil, err
	}
	origins, err := m.config.Origins()
	if err != nil {
		return nil, err
	}
	sources := shield.Sources(m.request, terms, m.layout, m.facts, grant)
	told := map[string]bool{}
	for i, source := range sources {
		switch place := origins.Of(source.Option...); {
		case len(source.Option) == 0:
		case source.Option[0] == "class":
			told[source.Option[2]] = true
			sources[i].From = origins.OfClass(terms.Class, source.Option[2])
		case place != "" && source.From != "":
			sources[i].From += ", " + place
		}
	}
	for _, option := range config.Options(terms.Class) { // what else somebody has written for this class
		if place := origins.Of("class", terms.Class.Name, option.Key); place != "" && !told[option.Key] {
			sources = append(sources, shield.Source{What: option.Key, Value: option.String(), From: origins.OfClass(terms.Class, option.Key)})
		}
	}
	from := "the first of " + strings.Join(m.config.Delegates, ", ") + " that is there"
	if place := origins.Of("runtime", "delegates"); place != "" {
		from += ", " + place
	}
	return append(sources, shield.Source{What: "delegate", Value: m.delegate, From: from}), nil
}

// foresee is the plan as it will be once the hook has bound the grant, in the difference to the kernel now.
func (m *matter) foresee(ledger *shield.Ledger, grant *shield.Grant) ([]spec.Change, error) {
	if err := m.foreseeCgroups(grant); err != nil {
		return nil, err
	}
	ledger.Housekeeping, ledger.Exempt = m.layout.Housekeeping, m.layout.Exempt
	ledger.Add(*grant)
	settings, err := reconcile.Plan(system, ledger, func(seen *shield.Observation) {
		for _, dir := range grant.Cgroups.Budgets { // those that the delegate will make
			if _, exists := seen.Budgets[dir]; !exists {
				seen.Budgets[dir] = shield.BudgetState{Budget: shield.Budget{Period: m.facts.Budget.Period}}
			}
		}
		for _, dir := range grant.Cgroups.Partition {
			if _, exists := seen.Partitions[dir]; !exists {
				seen.Partitions[dir] = shield.PartitionState{Type: shield.Member}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var changes []spec.Change
	for _, setting := range settings {
		if setting.Fixed == "" && setting.Differs() {
			changes = append(changes, spec.Change{Path: reconcile.KnobPath(setting.Knob), From: setting.Now, To: setting.Want})
		}
	}
	grant.Limits = append(grant.Limits, status.Foreseen(system, settings, *grant)...)
	changes = append(changes, spec.Change{Path: "policy of the container's first thread", From: "other", To: grant.PolicyText()})
	return changes, nil
}

// foreseeCgroups tells from config.json where the delegate will put the container.
func (m *matter) foreseeCgroups(grant *shield.Grant) error {
	place, found, err := system.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return err
	}
	grant.Bound, grant.Cgroups.Cpuset = true, filepath.Join(place.Mount, m.request.Cgroup)
	if grant.Level == shield.LevelPartition {
		grant.Cgroups.Partition = host.Ancestors(place.Mount, grant.Cgroups.Cpuset)
	}
	if grant.Budget.Period == 0 {
		return nil
	}
	cpu, found, err := system.Controller(os.Getpid(), "cpu")
	if err != nil || !found {
		return err
	}
	grant.Cgroups.Budgets = host.Ancestors(cpu.Mount, filepath.Join(cpu.Mount, m.request.Cgroup))
	return nil
}
