package runtime

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// limit bounds the CPU time of an ordinary container that asks for that and for nothing else. It needs no hook: the delegate
// writes the quota, and a note tells status and update of it.
func (m *matter) limit(store shield.Store) error {
	share, err := m.share()
	if err != nil || !share.Limited() {
		return err
	}
	forgetLimited(store)
	owner, err := me()
	if err != nil {
		return err
	}
	cgroups, err := m.cgroups()
	if err != nil {
		return err
	}
	m.noted = true
	return store.SaveLimited(shield.Limited{
		Key: m.request.Key, Name: m.request.Name, Share: share, Asked: m.request.Choices[shield.KeyCPUBandwidth].Value,
		Wrote: m.request.Quota, Cgroups: cgroups, Owner: owner,
	})
}

// replaceNote makes room for a container with an id that another had, which was deleted behind our back. One that runs keeps
// its note.
func (m *matter) replaceNote(store shield.Store) error {
	former, err := store.Limited(m.request.Key)
	if err != nil || former == nil {
		return err
	}
	if limitedRuns(*former) {
		return fmt.Errorf("container with given ID already exists: %s", m.request.ID)
	}
	return store.DropLimited(m.request.Key)
}

// share decides about an ordinary container's CPU time, and edits the document in memory.
func (m *matter) share() (shield.Share, error) {
	if m.request.Asks() && !m.request.Shared || len(m.request.Choices) == 0 {
		return shield.Share{}, nil
	}
	share, err := ordinaryShare(m.request)
	if err != nil || !share.Limited() {
		return share, err
	}
	if err := m.fits(share); err != nil {
		return share, err
	}
	return share, m.document.Limit(share)
}

// ordinaryShare holds a request to the CPUs of the host, or to those that the engine named of them.
func ordinaryShare(request shield.Request) (shield.Share, error) {
	cpus, err := system.Online()
	if err != nil {
		return shield.Share{}, err
	}
	if named, err := shield.ParseCPUs(request.CPUs); err == nil && !named.IsEmpty() {
		cpus = cpus.Intersection(named.CPUSet)
	}
	return request.Share(cpus.Size())
}

// fits says before anything is made what the kernel or the delegate would not carry out.
func (m *matter) fits(share shield.Share) error {
	if !share.Limited() {
		return nil
	}
	choice := m.request.Choices[shield.KeyCPUBandwidth]
	if share.Burst > 0 {
		if err := m.canBurst(); err != nil {
			return fmt.Errorf("annotation %s = %q: %w: leave it out", m.request.Choices[shield.KeyCPUBurst].Source, m.request.Choices[shield.KeyCPUBurst].Value, err)
		}
	}
	cpu, found, err := system.Controller(os.Getpid(), "cpu")
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("annotation %s = %q: this host has no cpu cgroup controller", choice.Source, choice.Value)
	}
	if cpu.Unified { // the tighter of the two holds
		return nil
	}
	above, where, err := bandwidth.Above(system, cpu.Mount, filepath.Join(cpu.Mount, m.request.Cgroup))
	if err != nil || where == "" || share.Quota*above.Period <= above.Quota*share.Period {
		return err
	}
	return fmt.Errorf("annotation %s = %q: cgroup %s above container %s has %s, and cgroup v1 takes no more below it: ask for less, or raise that",
		choice.Source, choice.Value, where, m.request.Name, shield.Share(above))
}

func (m *matter) canBurst() (err error) {
	if !bandwidth.HasBurst(system) {
		return fmt.Errorf("this kernel (%s) has no burst: it takes Linux 5.14", system.Kernel())
	}
	if m.traits.Name == "" { // of an ordinary container it was not asked yet
		if m.traits, err = delegate.Identify(m.delegate, m.config.State); err != nil {
			return err
		}
	}
	if !m.traits.Burst() {
		return fmt.Errorf("%s %s does not carry out linux.resources.cpu.burst: it takes runc 1.2 or crun 1.11", m.traits.Name, m.traits.Version)
	}
	return nil
}

// cgroups are where the container may be, below a mount. Where config.json names no absolute path runc goes from its own cgroup,
// on cgroup v2 from the one above that, and crun from the root.
func (m *matter) cgroups() ([]string, error) {
	own, _, err := system.Controller(os.Getpid(), "cpu")
	if err != nil {
		return nil, err
	}
	from := own.Dir
	if own.Unified && from != own.Mount {
		from = filepath.Dir(from)
	}
	below, err := filepath.Rel(own.Mount, from)
	if err != nil || below == "." {
		return []string{m.request.Cgroup}, err
	}
	return []string{m.request.Cgroup, filepath.Join("/", below, m.request.Cgroup)}, nil
}

// forgetLimited takes away the notes of containers that went without our delete. Best effort: such a note harms nobody.
func forgetLimited(store shield.Store) {
	all, _ := store.AllLimited()
	for _, limited := range all {
		if !limitedRuns(limited) {
			_ = store.DropLimited(limited.Key)
		}
	}
}

// limitedRuns says whether a container runs, or is being made.
func limitedRuns(limited shield.Limited) bool {
	if system.Alive(limited.Owner.PID, limited.Owner.Start) {
		return true
	}
	for _, cgroup := range limited.Cgroups {
		if place, found, err := bandwidth.Find(system, cgroup); err != nil || found && system.CgroupPopulated(place.CPU) {
			return true
		}
	}
	return false
}

// limitRootless is limit where nothing can be noted: the delegate bounds what its user's cgroups allow, or says why not.
func limitRootless(document *spec.Document, request shield.Request) error {
	share, err := ordinaryShare(request)
	if err != nil || !share.Limited() {
		return err
	}
	if share.Burst > 0 && !bandwidth.HasBurst(system) {
		return fmt.Errorf("annotation %s: this kernel has no burst: it takes Linux 5.14", request.Choices[shield.KeyCPUBurst].Source)
	}
	if err := document.Limit(share); err != nil {
		return err
	}
	return document.Save()
}
