package status

import (
	"io"
	"strconv"
	"time"

	"github.com/rtshield/rtshield/internal/host/interference"
)

// Prometheus writes the state in Prometheus' text format (0.0.4), as the textfile collector of the node exporter reads it. The
// series are bounded by the CPUs of the pool, and by the containers with a cpu-bandwidth.
func (s *Status) Prometheus(w io.Writer, version string) error {
	m := &exposition{}
	m.gauge("rtshield_build_info", "The rtshield that wrote this. Always 1.", 1, "version", version)
	s.hostMetrics(m)
	for _, grant := range s.Grants {
		grantMetrics(m, grant)
	}
	for _, one := range s.Bandwidth {
		bandwidthMetrics(m, one)
	}
	if s.Promises != nil {
		promiseMetrics(m, *s.Promises)
	}
	_, err := m.WriteTo(w)
	return err
}

func (s *Status) hostMetrics(m *exposition) {
	uses, states := map[Use]int{}, map[string]int{}
	for _, cpu := range s.CPUs {
		uses[cpu.Use]++
	}
	for _, grant := range s.Grants {
		states[grant.State]++
	}
	for _, use := range Uses {
		m.gauge("rtshield_cpus", "CPUs of the host by what they are for.", float64(uses[use]), "use", string(use))
	}
	for _, state := range []string{"starting", "bound", "stale"} {
		m.gauge("rtshield_containers", "Containers that hold CPUs. A stale one has ended without a release.", float64(states[state]), "state", state)
	}
	m.gauge("rtshield_lost_containers", "Running containers whose CPUs are in no ledger, because it was deleted.", float64(len(s.Lost)))
}

// of are the labels of a container: ids are unique only below one state root. None is called container or pod: in a cluster those
// are the node exporter's own, put there by the scrape (Prometheus Operator).
func of(root, id, name string, more ...string) []string {
	return append([]string{"root", root, "id", id, "name", name}, more...)
}

func grantMetrics(m *exposition, grant Grant) {
	labels := func(more ...string) []string { return of(grant.Root, grant.ID, grant.Name, more...) }
	pod := ""
	if grant.Pod != nil {
		pod = grant.Pod.Name
	}
	m.gauge("rtshield_container_info", "What a container was granted. Always 1.", 1,
		labels("class", grant.Class, "policy", grant.Policy, "level", grant.Level, "cpus", grant.CPUs.String(), "pod_name", pod)...)
	m.gauge("rtshield_container_cpus", "CPUs that a container has for itself.", float64(grant.CPUs.Size()), labels()...)
	if created, err := time.Parse(time.RFC3339, grant.Created); err == nil {
		m.gauge("rtshield_container_created_timestamp_seconds", "When a container was granted its CPUs, in Unix time.", float64(created.Unix()), labels()...)
	}
	causes := map[bool]int{}
	for _, limit := range grant.Limits {
		causes[limit.Drift]++
	}
	const help = "What a container was promised and does not have: because this host cannot, or because somebody has changed it."
	m.gauge("rtshield_container_limits", help, float64(causes[false]), labels("cause", "host")...)
	m.gauge("rtshield_container_limits", help, float64(causes[true]), labels("cause", "changed")...)
	if grant.Interference != nil {
		interferenceMetrics(m, *grant.Interference, labels)
	}
}

// interferenceMetrics tells what has arrived. The times of foreign tasks are differences of clocks that are read one after the
// other, and may go back a little: no counters.
func interferenceMetrics(m *exposition, delta interference.Delta, labels func(more ...string) []string) {
	for _, cpu := range delta.CPUs {
		if cpu.Offline {
			continue
		}
		number := strconv.Itoa(cpu.CPU)
		for _, kind := range []struct {
			name  string
			count uint64
		}{{"device", cpu.DeviceIRQs()}, {"tick", cpu.Ticks}, {"ipi", cpu.IPIs()}, {"other", cpu.Others()}} {
			m.counter("rtshield_interrupts_total", "Interrupts that arrived on a container's CPU since it got it.", float64(kind.count),
				labels("cpu", number, "kind", kind.name)...)
		}
		m.counter("rtshield_softirqs_total", "Softirqs that ran on a container's CPU since it got it.", float64(cpu.AllSoftirqs()), labels("cpu", number)...)
		m.counter("rtshield_stolen_seconds_total", "Time that a hypervisor gave to others on a container's CPU since it got it.",
			float64(cpu.StealMS)/1e3, labels("cpu", number)...)
	}
	if delta.ForeignNS != nil {
		m.gauge("rtshield_foreign_seconds", "For how long tasks of others ran on a container's CPUs since it got them. Absent while it is not known.",
			float64(*delta.ForeignNS)/1e9, labels()...)
	}
	if delta.ForeignTurnsAtMost != nil {
		m.gauge("rtshield_foreign_turns", "How often tasks of others came onto a container's CPUs since it got them, at most.",
			float64(*delta.ForeignTurnsAtMost), labels()...)
	}
}

func bandwidthMetrics(m *exposition, one Bandwidth) {
	labels := of(one.Root, one.ID, one.Name)
	if one.Share.Limited() {
		ratio := float64(one.Share.Quota) / float64(one.Share.Period)
		m.gauge("rtshield_bandwidth_ratio", "How much of one CPU a container's ordinary threads may have.", ratio, labels...)
	}
	m.counter("rtshield_bandwidth_periods_total", "Periods of its bandwidth in which a container ran.", float64(one.Life.Periods), labels...)
	m.counter("rtshield_bandwidth_throttled_periods_total", "Periods in which a container was throttled.", float64(one.Life.Throttled), labels...)
	m.counter("rtshield_bandwidth_throttled_seconds_total", "For how long a container was throttled, summed over CPUs.", one.Life.ThrottledSeconds, labels...)
}

// Promises count what was promised by what became of it, as rtshield verify marks it.
type Promises struct {
	// Host is how many are broken of those that are made to no container that lives.
	Host int
	// Containers are those with CPUs of their own, and those without.
	Containers []Kept
}

// Kept are the promises to one container.
type Kept struct {
	Root, ID, Name string
	Marks          map[string]int
}

// Marks are all that there are, as in internal/verify.
var Marks = []string{"holds", "broken", "cannot", "unknown"}

func promiseMetrics(m *exposition, promises Promises) {
	m.gauge("rtshield_host_broken_promises", "Settings that were not put back after the last container, and ledgers that were deleted.", float64(promises.Host))
	for _, one := range promises.Containers {
		for _, mark := range Marks {
			m.gauge("rtshield_container_promises", "What a container was promised, by what became of it, as rtshield verify marks it.",
				float64(one.Marks[mark]), of(one.Root, one.ID, one.Name, "mark", mark)...)
		}
	}
}
