//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"
)

// engineChooses lets the engine choose the CPUs, as the kubelet's static CPU manager does.
const engineChooses = "[layout]\ncpus_from = \"engine\"\n"

// resources are those of an update as containerd writes them: with each one, all that it knows.
func resources(cpus string, memory int) string {
	return fmt.Sprintf(`{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":%[2]d,"swap":%[2]d},"cpu":{"shares":1024,"quota":-1,"period":100000,"cpus":"%[1]s"}}`,
		cpus, memory)
}

// updates is the call of a shim, with the resources on a pipe.
func (r *rig) updates(id, json string) said {
	r.Helper()
	return r.program("/bin/sh", "-c", `printf %s "$3" | "$0" --root "$1" update --resources=- "$2"`, rtshield, r.root, id, json)
}

// cores are the whole ones of the shield.
func (r *rig) cores() []cpuset.CPUSet {
	r.Helper()
	var whole []cpuset.CPUSet
	pool := r.status().Layout.Pool
	for _, core := range topology(r).Cores {
		if core.IsSubsetOf(pool.CPUSet) {
			whole = append(whole, core)
		}
	}
	if len(whole) < 3 {
		r.Skipf("elsewhere: the shield %s has %d whole cores, and these moves take three", pool, len(whole))
	}
	return whole
}

func threadOf(core cpuset.CPUSet, n int) string { return fmt.Sprint(core.List()[n]) }

// at fails unless a container has these CPUs and none beside, and all others have all that nobody holds.
func (r *rig) at(when, id string, pid int, cpus string, others int) {
	r.Helper()
	grant, topo := r.grant(id), topology(r)
	if grant.CPUs.String() != cpus || grant.State != "bound" {
		r.Errorf("%s: status says %s, CPU %s; want %s", when, grant.State, grant.CPUs, cpus)
	}
	wide := grant.ExecCPUs.Union(parse(r, cpus)).String()
	for file, want := range map[string]string{"cpuset.cpus": wide, effective(): wide, "cpuset.mems": grant.Mems.String()} {
		if now := r.knob(id, file); now != want {
			r.Errorf("%s: %s reads %q, want %q", when, file, now, want)
		}
	}
	for node, members := range topo.Nodes {
		if next := !members.Intersection(parse(r, cpus)).IsEmpty(); grant.Mems.Contains(node) != next {
			r.Errorf("%s: its memory is of node %s, its CPUs are %s", when, grant.Mems, cpus)
		}
	}
	if now := r.allowed(pid); now != cpus {
		r.Errorf("%s: it may run on CPU %s, want %s", when, now, cpus)
	}
	r.policy(when, pid, unix.SCHED_FIFO, 50)
	held := cpuset.New()
	for _, grant := range r.status().Grants {
		held = held.Union(grant.CPUs.Union(grant.Idle.CPUSet))
	}
	free := topo.Online.Difference(held)
	if now := r.allowed(others); now != free.String() {
		r.Errorf("%s: others may run on CPU %s, free is %s (their cgroup has %q, all %q)", when, now, free,
			r.knob("others", effective()), text(r, cpusetMount()+"/"+effective()))
	}
	if now := r.maskOf(text(r, "/proc/irq/default_smp_affinity")); !now.Equals(free) {
		r.Errorf("%s: new interrupts would come to CPU %s, free is %s", when, now, free)
	}
	_, movable := interrupts(r)
	for number, name := range movable {
		if now := r.affinity(number); !now.Intersection(held).IsEmpty() {
			r.Errorf("%s: irq %s (%s) may arrive on CPU %s, held is %s", when, number, name, now, held)
		}
	}
}

func TestAnEngineMovesAContainerAndTheShieldFollows(t *testing.T) {
	onRunc(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: moves are shown on the kernels without isolcpus=")
		}
		r.classes(engineChooses)
		cores := r.cores()
		first, second, sibling, last := threadOf(cores[0], 0), threadOf(cores[1], 0), threadOf(cores[1], 1), cores[len(cores)-1]
		others := r.begin("run", "others")
		pid := r.begin("run", "a", class("fifo"), cpus(first))
		r.begin("run", "b", class("rr"), cpus(threadOf(last, 0)))
		r.at("at the start", "a", pid, first, others)
		// Twice moved, each repeated; to the sibling of its own CPU, and back to where it began.
		for i, to := range []string{first, second, second, sibling, sibling, first} {
			r.must(r.updates("a", resources(to, 64<<20+i<<20)))
			r.at("moved to "+to, "a", pid, to, others)
		}
		for to, why := range map[string]string{
			threadOf(last, 0): "taken", threadOf(last, 1): "taken", cores[1].String(): "threads of one core", "0": "not in the shield",
		} {
			result := r.updates("a", resources(to, 64<<20))
			if result.code == 0 || result.out != "" || strings.Count(strings.TrimSpace(result.stderr), "\n") > 0 {
				r.Errorf("to CPU %s: %s", to, result)
			}
			r.contains("the refusal", result.stderr, "rtshield: ", "asks for CPU", why)
			r.at("refused CPU "+to, "a", pid, first, others)
		}
		r.must(r.updates("a", `{"memory":{"limit":73400320,"swap":73400320}}`))
		r.at("after an update of memory alone", "a", pid, first, others)
		r.end("a")
		r.end("b")
		if now := r.allowed(others); now != topology(r).Online.String() {
			r.Errorf("afterwards others may run on CPU %s", now)
		}
		r.end("others")
		r.asBefore("after the last delete")
	})
}

func TestAMoveMayKeepSomeOfItsCPUs(t *testing.T) {
	onRunc(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: moves are shown on the kernels without isolcpus=")
		}
		r.classes(engineChooses)
		cores := r.cores()
		one := cores[0].String()
		two := parse(r, threadOf(cores[0], 1)+","+threadOf(cores[1], 0)).String()
		three := cores[1].Union(parse(r, threadOf(cores[0], 1))).String()
		others := r.begin("run", "others")
		pid := r.begin("run", "a", class("fifo"), annotate("smt", "prefer"), cpus(one))
		for _, to := range []string{one, two, three, two, one} {
			r.must(r.updates("a", resources(to, 64<<20)))
			r.at("moved to "+to, "a", pid, to, others)
		}
		r.end("a")
		r.end("others")
		r.asBefore("after the last delete")
	})
}

// A delegate that kills the rtshield above it, before or after the update.
func TestAMoveThatIsKilledOnItsWayIsEnded(t *testing.T) {
	onRunc(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: moves are shown on the kernels without isolcpus=")
		}
		r.classes(engineChooses)
		cores := r.cores()
		first, second := threadOf(cores[0], 0), threadOf(cores[1], 0)
		others := r.begin("run", "others")
		pid := r.begin("run", "a", class("fifo"), cpus(first))
		for how, want := range map[string]string{"": first, `"$real" "$@"; `: second} {
			script := "#!/bin/sh\nreal=" + r.delegate.path + "\ncase \" $* \" in *' update '*) " + how + "kill -9 $PPID; exit 1 ;; esac\nexec \"$real\" \"$@\"\n"
			if err := os.WriteFile(r.dir+"/delegate", []byte(script), 0o755); err != nil {
				r.Fatal(err)
			}
			was := text(r, r.dir+"/config.toml")
			r.put(r.dir+"/config.toml", strings.Replace(was, r.delegate.path, r.dir+"/delegate", 1))
			r.must(r.command("reconcile")) // notes where the delegate is
			if result := r.updates("a", resources(second, 64<<20)); result.code == 0 {
				r.Fatalf("it was not killed: %s", result)
			}
			r.put(r.dir+"/config.toml", was)
			r.must(r.command("reconcile"))
			r.at("killed, and reconciled", "a", pid, want, others)
			r.must(r.updates("a", resources(first, 64<<20)))
			r.at("and moved back", "a", pid, first, others)
		}
		r.end("a")
		r.end("others")
		r.asBefore("after the last delete")
	})
}

// What a task that is added to a container gets while the container's own spins at FIFO: see docs/life.md.
func TestExecAnswersWhileItsContainerSpins(t *testing.T) {
	once(t, func(r *rig) {
		// Bounded by its own CPU time.
		pid := r.begin("run", "a", class("fifo"), args("/bin/sh", "-c", "ulimit -t 200; while :; do :; done"))
		r.eventually(func() error {
			if now := parseStat(r, pid); now < 50 {
				return fmt.Errorf("it has spun for %d ticks", now)
			}
			return nil
		})
		r.policy("spinning", pid, unix.SCHED_FIFO, 50)
		begun := time.Now()
		r.must(r.within(3*patience, rtshield, "--root", r.root, "exec", "a", "/bin/true"))
		r.Logf("$ exec answers within %v", time.Since(begun).Round(time.Millisecond))
		r.policy("after exec", pid, unix.SCHED_FIFO, 50)
		r.end("a")
		r.asBefore("after delete")
	})
}

// parseStat gives the time that a process has run, in clock ticks: utime, field 14 of proc(5).
func parseStat(t testing.TB, pid int) int {
	t.Helper()
	_, rest, _ := strings.Cut(text(t, fmt.Sprintf("/proc/%d/stat", pid)), ") ")
	return number(t, strings.Fields(rest)[11])
}
