// Package verify holds every promise of the live grants against the kernel as it is now. What others may do on granted CPUs is
// what internal/status has computed; what a container has itself is read here.
package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// Mark says what became of a promise.
type Mark string

// The marks.
const (
	// Holds: the kernel has what was promised.
	Holds Mark = "holds"
	// Broken: it had, and has it no more.
	Broken Mark = "broken"
	// Cannot: this host never could.
	Cannot Mark = "cannot"
	// Unknown: it could not be looked at.
	Unknown Mark = "unknown"
)

// Promise is one promise, and what became of it.
type Promise struct {
	Name string `json:"promise"`
	Mark Mark   `json:"mark"`
	// What holds, or what is wrong; Why, and what helps.
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Help string `json:"help,omitempty"`

	// kind tells who may have changed it.
	kind shield.Kind
}

// Container is a live grant with its promises.
type Container struct {
	ID    string      `json:"id"`
	Root  string      `json:"root"`
	Name  string      `json:"name"`
	Class string      `json:"class"`
	CPUs  shield.CPUs `json:"cpus"`
	PID   int         `json:"pid"`
	State string      `json:"state"`
	// Shared: it has no CPUs of its own, and CPUs are those that it may run on.
	Shared   bool      `json:"shared,omitempty"`
	Promises []Promise `json:"promises"`
	// Interference is what has arrived on its CPUs since it got them. It is no promise.
	Interference *interference.Delta `json:"interference,omitempty"`
}

// Report is what was found. Its JSON form is a public interface.
type Report struct {
	// Repaired is what was done before.
	Repaired []string `json:"repaired,omitempty"`
	// Host is what is promised to no container that lives.
	Host       []Promise    `json:"host,omitempty"`
	Containers []Container  `json:"containers"`
	Totals     map[Mark]int `json:"totals"`
}

// Job is what verify works with.
type Job struct {
	Root   host.Root
	Policy config.Config
	Store  shield.Store
	// Sparing leaves out what would hold up a container: numa_maps walks its page tables, and who maps memory waits for that.
	Sparing bool
	// Told: irqbalance has just been told what to leave out. It shows that with its next scan only, and moves nothing before.
	Told bool
}

// Open reads the policy file.
func Open(root host.Root) (Job, error) {
	policy, err := config.Load()
	if err != nil {
		return Job{}, err
	}
	bootID, err := root.BootID()
	return Job{Root: root, Policy: policy, Store: shield.Store{Dir: policy.State, BootID: bootID}}, err
}

// Check verifies the containers with these ids or names, all without any. What looks broken is looked at once more under the
// ledger's lock: another rtshield may have been about to change it.
func (j Job) Check(ids ...string) (*Report, error) {
	report, err := j.look(ids)
	if err != nil || report.Totals[Broken] == 0 || os.Geteuid() != 0 || !j.Store.Exists() {
		return report, err
	}
	session, err := j.Store.Open("verify")
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return j.look(ids)
}

func (j Job) look(ids []string) (*Report, error) {
	ledger, err := j.Store.Peek()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return nil, fmt.Errorf("what was promised is in the ledger in %s, which is root's alone: run verify as root", j.Store.Dir)
	}
	if err != nil {
		return nil, err
	}
	now, err := status.Of(j.Root, j.Policy, j.Store, ledger, 0)
	if err != nil {
		return nil, err
	}
	report, err := j.judge(ledger, now, ids)
	if err == nil {
		j.blame(report)
	}
	return report, err
}

// Status gathers what status does, and counts the promises on the way. It looks once, without the ledger's lock: what it calls broken
// another rtshield may be about to change.
func (j Job) Status(sample time.Duration) (*status.Status, error) {
	ledger, err := j.Store.Peek()
	if err != nil {
		return nil, err
	}
	now, err := status.Of(j.Root, j.Policy, j.Store, ledger, sample)
	if err != nil {
		return nil, err
	}
	j.Sparing = true
	report, err := j.judge(ledger, now, nil)
	if err != nil {
		return nil, err
	}
	now.Promises = report.counted()
	return now, nil
}

func (r *Report) counted() *status.Promises {
	counted := &status.Promises{Host: len(r.Host)} // one that holds is not mentioned
	for _, container := range r.Containers {
		kept := status.Kept{Root: container.Root, ID: container.ID, Name: container.Name, Marks: map[string]int{}}
		for _, promise := range container.Promises {
			kept.Marks[string(promise.Mark)]++
		}
		counted.Containers = append(counted.Containers, kept)
	}
	return counted
}

// judge holds the promises of the containers that status has gathered.
func (j Job) judge(ledger *shield.Ledger, now *status.Status, ids []string) (*Report, error) {
	report := &Report{Containers: []Container{}, Totals: map[Mark]int{}}
	if len(ids) == 0 {
		report.Host = hostPromises(now.Lost, leftover(j.Root, ledger))
	}
	for _, shown := range now.Grants {
		if len(ids) > 0 && !named(ids, shown) {
			continue
		}
		grant := ledger.Grant(shield.Key{Root: shown.Root, ID: shown.ID})
		report.Containers = append(report.Containers, j.container(*grant, shown))
	}
	for _, shown := range now.Shared {
		if len(ids) == 0 || named(ids, status.Grant{ID: shown.ID, Name: shown.Name}) {
			report.Containers = append(report.Containers, j.shared(ledger, shown))
		}
	}
	if err := unknownID(ids, now, j.Store.Dir); err != nil {
		return nil, err
	}
	report.count()
	return report, nil
}

func (j Job) container(grant shield.Grant, shown status.Grant) Container {
	container := Container{
		ID: grant.ID, Root: grant.Root, Name: grant.Name, Class: grant.Class, CPUs: grant.CPUs, PID: grant.Owner.PID,
		State: shown.State, Promises: []Promise{}, Interference: shown.Interference,
	}
	switch {
	case shown.State == "stale":
		container.Promises = append(container.Promises, Promise{
			Name: "owner", Mark: Broken, What: fmt.Sprintf("its process, pid %d, has ended, and it still holds CPU %s", grant.Owner.PID, grant.Held()),
			Why: "nobody deleted it", Help: repair,
		})
	case shown.State == "bound" && grant.Move == nil:
		own := ownPromises(grant, ceilingOf(grant, j.Policy.Classes), read(j.Root, grant, j.Sparing))
		container.Promises = append(own, outerPromises(grant, j.settled(shown.Limits))...)
	}
	return container
}

// settled leaves out that irqbalance does not show yet what it was told.
func (j Job) settled(limits []shield.Limit) []shield.Limit {
	var left []shield.Limit
	for _, limit := range limits {
		if !(j.Told && limit.Kind == shield.Irqbalance && limit.Drift) {
			left = append(left, limit)
		}
	}
	return left
}

// leftover says whether settings wait that should be back. What irqbalance was told it gives back with its next scan.
func leftover(root host.Root, ledger *shield.Ledger) bool {
	return len(ledger.Grants) == 0 && len(ledger.Baselines) > len(ledger.Noted(shield.Irqbalance)) && reconcile.Stale(root, ledger)
}

// hostPromises: nothing of a container that has ended stays.
func hostPromises(lost []string, left bool) []Promise {
	var promises []Promise
	for _, cgroup := range lost {
		promises = append(promises, Promise{
			Name: "ledger", Mark: Broken, What: "it was deleted while a container ran: cgroup " + cgroup,
			Why: status.Changed, Help: "delete that container: until then nobody is granted CPUs",
		})
	}
	if left {
		promises = append(promises, Promise{
			Name: "host", Mark: Broken, What: "settings were not put back", Why: "a container ended without a release", Help: repair,
		})
	}
	return promises
}

func (r *Report) count() {
	for _, promise := range r.Host {
		r.Totals[promise.Mark]++
	}
	for _, container := range r.Containers {
		for _, promise := range container.Promises {
			r.Totals[promise.Mark]++
		}
	}
}

// ExitStatus is 0 if all holds that this host can do, 1 if something is broken, 2 if something could not be looked at.
func (r *Report) ExitStatus() int {
	switch {
	case r.Totals[Broken] > 0:
		return 1
	case r.Totals[Unknown] > 0:
		return 2
	}
	return 0
}

// shortest is how much of an id names a container, as engines print 12 characters of 64.
const shortest = 8

func named(ids []string, grant status.Grant) bool {
	for _, id := range ids {
		if id == grant.ID || id == grant.Name || len(id) >= shortest && strings.HasPrefix(grant.ID, id) {
			return true
		}
	}
	return false
}

func unknownID(ids []string, now *status.Status, dir string) error {
	for _, id := range ids {
		found := false
		for _, grant := range now.Grants {
			found = found || named([]string{id}, grant)
		}
		for _, shared := range now.Shared {
			found = found || named([]string{id}, status.Grant{ID: shared.ID, Name: shared.Name})
		}
		if !found {
			return fmt.Errorf("the ledger in %s knows no shielded container %q: rtshield status lists them", dir, id)
		}
	}
	return nil
}
