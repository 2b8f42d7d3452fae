package check

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

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
	limits     []shield.Limit
	limitsErr  error
	config     platform.Config
	preemption platform.Preemption
	distro     distro
	trial      trial
}

func (j Job) view() (*view, error) {
	v := &view{Job: j, distro: readDistro(j.Root)}
	var err error
	if v.class, err = chooseClass(j.Policy.Classes, j.Class); err != nil {
		return nil, err
	}
	v.config, _ = platform.ReadConfig(j.Root) // most of what it tells is told by others too
	v.preemption = platform.ReadPreemption(j.Root, v.config)
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
	if class, known := classes[cmp.Or(name, "fifo")]; known {
		return class, nil
	}
	names := slices.Sorted(maps.Keys(classes))
	if name != "" || len(names) == 0 {
		return shield.Class{}, fmt.Errorf("class %q is not one of %s", cmp.Or(name, "fifo"), shield.ClassNames(classes))
	}
	realTime := slices.IndexFunc(names, func(name string) bool { return classes[name].Policy.RealTime() })
	return classes[names[max(realTime, 0)]], nil
}

// decide is the decision that create would make about a container of the class, with the reason for its level. Its cgroup is not
// right below the root, where older kernels make partitions, but where engines put it.
func (v *view) decide(ledger *shield.Ledger) (grant shield.Grant, weaker string, err error) {
	request := shield.Request{
		Key: reconcile.TrialKey, Name: reconcile.TrialKey.ID, LinkClass: v.class.Name, Cgroup: "/containers/" + reconcile.TrialKey.ID,
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
		wide.Cgroups.Cpuset = filepath.Join(place.Mount, "containers", reconcile.TrialKey.ID)
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
