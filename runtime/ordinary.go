package runtime

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/utils/cpuset"

	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/task"
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
	asked, err := shield.ParseCPUs(m.request.CPUs)
	if err != nil {
		return nil //nolint:nilerr // the delegate has its own words for this
	}
	wanted, available, taken := m.room(session.Ledger, asked.CPUSet)
	// One that names its CPUs is noted although it loses none: below a cpuset that was shrunk, its own could later be taken
	// for a copy of that, and widened with it.
	if available.Intersection(taken).IsEmpty() && (asked.IsEmpty() || held.IsEmpty()) && !handsOn(session.Ledger, available) {
		return nil
	}
	left, err := m.left(session.Ledger, available, taken)
	if err != nil {
		return err
	}
	if err := m.document.Cut(left, m.hook); err != nil {
		return err
	}
	return m.enter(session, wanted, nil)
}

// handsOn says whether the container would have an affinity for good that its engine has only as long as a shield lasts: crun, and
// runc before 1.2.7, hand it on. Cut by the cpuset that the container will be in, it can no longer be known, and the hook has to
// give it back.
func handsOn(ledger *shield.Ledger, available cpuset.CPUSet) bool {
	mine, err := task.Affinity(0)
	_, narrowed := ledger.Had(mine)
	return err == nil && narrowed && !mine.IsSubsetOf(available)
}

// room gives what an ordinary container wants of CPUs, where it could run if nobody held any, and what is not to be had. What it
// wants it gets back one day: all but what is reserved for good. Empty: what the cgroup above it has.
func (m *matter) room(ledger *shield.Ledger, asked cpuset.CPUSet) (wanted, available, taken cpuset.CPUSet) {
	if available = asked; asked.IsEmpty() {
		available = m.inherited()
	}
	if m.layout.ReserveAlways {
		return available.Difference(m.layout.Pool.CPUSet), available, ledger.Held().Union(m.layout.Pool.CPUSet)
	}
	return asked, available, ledger.Held()
}

func (m *matter) left(ledger *shield.Ledger, available, taken cpuset.CPUSet) (shield.CPUs, error) {
	left := available.Difference(taken)
	if left.IsEmpty() {
		return shield.CPUs{}, fmt.Errorf("container %s may run on CPU %s only, and CPU %s is kept for others (%s): give it another cpuset, or stop one",
			m.request.Name, available, available.Intersection(taken), m.takers(ledger))
	}
	return shield.CPUsOf(left), nil
}

// enter puts a container without CPUs of its own into the ledger.
func (m *matter) enter(session *shield.Session, wanted cpuset.CPUSet, shared *shield.Shared) error {
	owner, err := me()
	if err != nil {
		return err
	}
	session.Housekeeping = m.layout.Housekeeping
	session.AddOrdinary(shield.Ordinary{Key: m.request.Key, Name: m.request.Name, Wanted: shield.CPUsOf(wanted), Owner: owner, Shared: shared})
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
