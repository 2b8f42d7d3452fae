package runtime

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/utils/cpuset"

	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/shield"
)

// keepOff takes CPUs that others hold out of an ordinary container's cpuset. Where nobody holds any, nothing is done.
func (m *matter) keepOff(store shield.Store) error {
	always := m.config.Layout.Reserve == "always"
	if !always && !store.Exists() {
		return nil
	}
	if err := m.survey(); err != nil {
		return err
	}
	if !m.facts.Cpusets {
		return nil
	}
	session, err := open(store, "create of "+m.request.ID)
	if err != nil {
		return err
	}
	defer session.Close()
	held := session.Held()
	taken := held
	if always {
		taken = taken.Union(m.layout.Pool.CPUSet)
	}
	asked, err := shield.ParseCPUs(m.request.CPUs)
	if err != nil {
		return nil //nolint:nilerr // the delegate has its own words for this
	}
	wanted := asked.CPUSet
	available := wanted
	if wanted.IsEmpty() {
		available = m.inherited()
	}
	// One that names its CPUs is noted although it loses none: below a cpuset that was shrunk, its own could later be taken
	// for a copy of that, and widened with it.
	if available.Intersection(taken).IsEmpty() && (wanted.IsEmpty() || held.IsEmpty()) {
		return nil
	}
	left := available.Difference(taken)
	if left.IsEmpty() {
		return fmt.Errorf("container %s may run on CPU %s only, and CPU %s is kept for others (%s): give it another cpuset, or stop one",
			m.request.Name, available, available.Intersection(taken), m.takers(session.Ledger))
	}
	if err := m.document.Cut(shield.CPUsOf(left), m.hook); err != nil {
		return err
	}
	owner, err := me()
	if err != nil {
		return err
	}
	// What it gets back one day: all that it wanted, but for what is reserved for good.
	if always {
		wanted = available.Difference(m.layout.Pool.CPUSet)
	}
	session.Housekeeping = m.layout.Housekeeping
	session.AddOrdinary(shield.Ordinary{Key: m.request.Key, Name: m.request.Name, Wanted: shield.CPUsOf(wanted), Owner: owner})
	return session.Save()
}

func (m *matter) takers(ledger *shield.Ledger) string {
	if len(ledger.Grants) == 0 {
		return "[layout] reserve = \"always\" keeps " + m.layout.Pool.String()
	}
	return shield.Holders(ledger.Grants)
}

// inherited gives the CPUs that a container without a cpuset of its own will have: those of the nearest cgroup above
// that is there already.
func (m *matter) inherited() cpuset.CPUSet {
	online := m.facts.Topology.Online
	place, found, err := system.Controller(os.Getpid(), "cpuset")
	if err != nil || !found {
		return online
	}
	for dir := filepath.Join(place.Mount, m.request.Cgroup); len(dir) >= len(place.Mount); dir = filepath.Dir(dir) {
		if cpus, err := hostcpuset.Effective(system, dir); err == nil && !cpus.IsEmpty() {
			return cpus.Intersection(online)
		}
	}
	return online
}
