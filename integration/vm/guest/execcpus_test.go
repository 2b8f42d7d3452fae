//go:build vmguest

package guest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// elsewhere sends what exec adds to the housekeeping CPUs.
const elsewhere = engineChooses + "[class.fifo]\nexec_cpus = \"housekeeping\"\n"

// execs fails unless what exec adds to a container runs on the housekeeping CPUs.
func (r *rig) execs(when, id string) {
	r.Helper()
	begun, house := time.Now(), r.status().Layout.Housekeeping
	out := r.must(r.oci("exec", id, "/bin/cat", "/proc/self/status")).out
	r.Logf("$ %s: exec answers within %v", when, time.Since(begun).Round(time.Millisecond))
	r.contains(when+": the status of what exec adds", out, fmt.Sprintf("Cpus_allowed_list:\t%s\n", house))
}

func TestExecOnHousekeepingRunsWhileItsContainerSpins(t *testing.T) {
	onRunc(t, func(r *rig) {
		r.classes(elsewhere)
		// Bounded by its own CPU time.
		pid := r.begin("run", "a", class("fifo"), args("/bin/sh", "-c", "ulimit -t 200; while :; do :; done"))
		spun := func() error {
			if now := parseStat(r, pid); now < 50 {
				return fmt.Errorf("it has spun for %d ticks", now)
			}
			return nil
		}
		r.eventually(spun)
		if grant := r.grant("a"); grant.Level != "cpuset" || !grant.ExecCPUs.Equals(r.status().Layout.Housekeeping.CPUSet) {
			r.Errorf("level %s, exec on CPU %s", grant.Level, grant.ExecCPUs)
		}
		before := parseStat(r, pid)
		r.execs("spinning", "a")
		if after := parseStat(r, pid); after == before {
			r.Errorf("the container did not spin meanwhile")
		}
		r.policy("after exec", pid, unix.SCHED_FIFO, 50)
		if now := r.allowed(pid); now != r.grant("a").CPUs.String() {
			r.Errorf("the container may run on CPU %s, it was granted %s", now, r.grant("a").CPUs)
		}
		r.end("a")
		r.asBefore("after delete")
	})
}

// Whatever is written to cpusets: before Linux 6.2 that resets the affinity of all threads in them.
func TestAContainerBesideItsExecKeepsToItsCPUs(t *testing.T) {
	onRunc(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: moves are shown on the kernels without isolcpus=")
		}
		r.classes(elsewhere)
		cores := r.cores()
		first, second, last := threadOf(cores[0], 0), threadOf(cores[1], 0), threadOf(cores[len(cores)-1], 0)
		others := r.begin("run", "others")
		pid := r.begin("run", "a", class("fifo"), cpus(first))
		r.at("at the start", "a", pid, first, others)
		r.execs("at the start", "a")
		r.begin("run", "b", class("rr"), cpus(last)) // a partition where there are any
		r.at("beside another", "a", pid, first, others)
		r.end("b")
		r.at("alone again", "a", pid, first, others)
		r.must(r.updates("a", resources(first, 64<<20)))
		r.at("after an update of memory", "a", pid, first, others)

		file, wide := cpusetMount()+parent+"/a/cpuset.cpus", r.knob("a", "cpuset.cpus")
		r.put(file, first+","+threadOf(topology(r).Cores[0], 0))
		r.put(file, wide)
		r.must(r.command("reconcile"))
		r.at("its cpuset was written, and reconciled", "a", pid, first, others)

		for _, to := range []string{second, second + "," + last, first} {
			r.must(r.updates("a", resources(to, 64<<20)))
			r.at("moved to "+to, "a", pid, parse(r, to).String(), others)
		}
		r.execs("moved", "a")

		var all unix.CPUSet
		all.Fill()
		if err := unix.SchedSetaffinity(pid, &all); err != nil {
			r.Fatal(err)
		}
		var limits []string
		for _, limit := range r.grant("a").Limits {
			limits = append(limits, limit.String())
		}
		r.contains("status", strings.Join(limits, "\n"), "1 thread(s) of the container may run on CPU")
		r.must(r.command("reconcile"))
		r.at("it took all CPUs, and reconciled", "a", pid, first, others)
		r.end("a")
		r.end("others")
		r.asBefore("after the last delete")
	})
}
