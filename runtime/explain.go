package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidwall/gjson"

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
	// Config lists the edits of config.json, Host the kernel settings, both as path: from → to.
	Config []spec.Change `json:"config"`
	Host   []spec.Change `json:"host"`
}

// Explain makes the decision that create would make now for this bundle, and changes nothing. class stands for the name
// of the link that the engine would call; root and id for the delegate's.
func Explain(bundle, root, id, class string) (*Explanation, error) {
	m, err := gather(bundle, root, id, class)
	if errors.Is(err, errNothing) {
		return nil, fmt.Errorf("bundle %s has no config.json that can be read", bundle)
	}
	if err != nil {
		return nil, err
	}
	if err := m.survey(); err != nil {
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
	if !m.request.Asks() {
		return explanation, nil
	}
	grant, err := m.grant(ledger)
	if err != nil {
		return nil, err
	}
	if explanation.Host, err = m.foresee(ledger, &grant); err != nil {
		return nil, err
	}
	explanation.Grant, explanation.Config = &grant, m.document.Changes()
	return explanation, nil
}

// foresee is the plan as it will be once the hook has bound the grant, in the difference to the kernel now.
func (m *matter) foresee(ledger *shield.Ledger, grant *shield.Grant) ([]spec.Change, error) {
	chain, err := m.budgetChain(*grant)
	if err != nil {
		return nil, err
	}
	grant.Cgroups.Budgets = chain
	ledger.Housekeeping = m.layout.Housekeeping
	ledger.Add(*grant)
	settings, _, err := reconcile.Plan(system, ledger, func(seen *shield.Observation) {
		for _, dir := range chain { // those that the delegate will make
			if _, exists := seen.Budgets[dir]; !exists {
				seen.Budgets[dir] = shield.BudgetState{Budget: shield.Budget{Period: m.facts.Budget.Period}}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var changes []spec.Change
	for _, setting := range settings {
		switch {
		case setting.Fixed != "":
			grant.Limits = append(grant.Limits, status.IRQLimit(system, setting))
		case setting.Differs():
			changes = append(changes, spec.Change{Path: reconcile.KnobPath(setting.Knob), From: setting.Now, To: setting.Want})
		}
	}
	changes = append(changes, spec.Change{Path: "policy of the container's first thread", From: "other", To: grant.PolicyText()})
	return changes, nil
}

// budgetChain tells from config.json which cgroups will need a real-time budget.
func (m *matter) budgetChain(grant shield.Grant) ([]string, error) {
	if grant.Budget.Period == 0 {
		return nil, nil
	}
	cpu, found, err := system.Controller(os.Getpid(), "cpu")
	if err != nil || !found {
		return nil, err
	}
	path := gjson.GetBytes(m.document.Bytes(), "linux.cgroupsPath").String()
	switch slice, scope, systemd := strings.Cut(path, ":"); {
	case systemd:
		path = filepath.Join(slicePath(slice), strings.ReplaceAll(scope, ":", "-")+".scope")
	case path == "":
		path = m.request.ID
	}
	var chain []string
	for dir := filepath.Join(cpu.Mount, filepath.Clean("/"+path)); len(dir) > len(cpu.Mount); dir = filepath.Dir(dir) {
		chain = append([]string{dir}, chain...)
	}
	return chain, nil
}
