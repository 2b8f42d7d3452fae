package shield

import (
	"fmt"

	"k8s.io/utils/cpuset"
)

// What exec adds to a container cannot leave its cpuset. Under exec_cpus = "housekeeping" that holds housekeeping CPUs beside
// the granted ones: the container's own threads are kept off them by their affinity, and what exec adds is sent there.

// The words of exec_cpus.
const (
	ExecOnContainer    = "container"
	ExecOnHousekeeping = "housekeeping"
)

// lendForExec chooses the CPUs of what exec adds, where the class wants others than the container's.
func lendForExec(grant *Grant, terms Terms, layout Layout, ledger *Ledger) error {
	class := terms.Class
	if class.ExecCPUs != ExecOnHousekeeping || terms.Mask.Text != "" { // under a mask it has the ordinary part
		return nil
	}
	// A layout that was edited since may have given some of them away.
	grant.ExecCPUs = CPUsOf(layout.Housekeeping.Difference(ledger.Held()).Difference(grant.Held().CPUSet))
	if grant.ExecCPUs.IsEmpty() {
		return fmt.Errorf("container %s: class %s runs exec on housekeeping CPUs (exec_cpus), and others hold all of them (%s): stop one, or set exec_cpus = %q",
			grant.Name, class.Name, Holders(ledger.Grants), ExecOnContainer)
	}
	return nil
}

// Cpuset is what the container's cgroup has: its CPUs, and those of what exec adds.
func (g Grant) Cpuset() CPUs { return CPUsOf(g.CPUs.Union(g.ExecCPUs.CPUSet)) }

// CPUsText names the CPUs for people: "2", "2 (exec: 0)".
func (g Grant) CPUsText() string {
	if g.ExecCPUs.IsEmpty() {
		return g.CPUs.String()
	}
	if g.Mask != "" {
		return fmt.Sprintf("%s (ordinary: %s)", g.CPUs, g.Ordinary)
	}
	return fmt.Sprintf("%s (exec: %s)", g.CPUs, g.ExecCPUs)
}

// RewritesExec says whether a process that exec adds is given more than what makes it ordinary.
func (g Grant) RewritesExec() bool { return g.Exec == Inherit || !g.ExecCPUs.IsEmpty() }

// Strays says whether a thread of the container that may run on these CPUs belongs on the granted ones alone: a real-time
// one that can reach those of exec, and one that can reach both. What exec added can reach its own only.
//
// Under a mask the ordinary part is its threads' own: there an ordinary thread strays that can reach both parts, and a
// real-time one that can reach housekeeping CPUs.
func (g Grant) Strays(cpus cpuset.CPUSet, realTime bool) bool {
	if g.Mask != "" && realTime && g.Ordinary.IsSubsetOf(g.CPUs.CPUSet) {
		return false
	}
	if cpus.Intersection(g.ExecCPUs.CPUSet).IsEmpty() {
		return false
	}
	return realTime || !cpus.IsSubsetOf(g.ExecCPUs.CPUSet)
}
