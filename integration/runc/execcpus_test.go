package runc_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// elsewhere sends what exec adds to the housekeeping CPU.
var elsewhere = testhost.Options{Classes: "[class.fifo]\nexec_cpus = \"housekeeping\"\n"}

// spinner is a container that never sleeps, for at most 20 seconds.
var spinner = rig.Args("/bin/sh", "-c", "ulimit -t 20; while :; do :; done")

// percpu gives for how long a container's tasks have run on each CPU, by its cpuacct cgroup.
func percpu(r *rig.Rig, id string) (times [2]time.Duration) {
	r.Helper()
	for cpu, text := range strings.Fields(r.Text(rig.Cgroup("cpuacct", rig.CgroupParent+"/"+id, "cpuacct.usage_percpu")))[:2] {
		ns, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			r.Fatal(err)
		}
		times[cpu] = time.Duration(ns)
	}
	return times
}

// apart fails unless the container is on CPU 1 alone, in a cpuset that has CPU 0 too.
func apart(r *rig.Rig, when string, pid int) {
	r.Helper()
	r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
	if cpus := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/web", "cpuset.cpus")); cpus != "0-1" {
		r.Errorf("%s: cpuset.cpus of the container is %q", when, cpus)
	}
}

func TestExecOnHousekeepingRunsWhileTheContainerSpins(t *testing.T) {
	rig.EachWith(t, elsewhere, func(r *rig.Rig) {
		bundle := r.Bundle("web", rig.Class("fifo"), spinner)
		if strings.Contains(r.Must(r.Plain("--version")).Stdout, "1.1.5") {
			res, _ := r.TryBegin("create", "web", bundle)
			refused(r, res, "class fifo", `exec_cpus = "housekeeping"`, "runc 1.1.5", "runc 1.3", "crun 1.19")
			r.AsBefore("after the refusal")
			return
		}
		foreseen := r.Must(r.Shield("explain", "--bundle", bundle)).Stdout
		has(r, "explain", foreseen, "grant: CPU 1,", "exec runs on: CPU 0 (housekeeping)", `linux.resources.cpu.cpus: absent → "0-1"`, "process.execCPUAffinity: absent →")
		pid := r.Detach("web", bundle)
		apart(r, "at the start", pid)
		if grant := r.Grant("web"); grant.CPUs.String() != "1" || grant.ExecCPUs.String() != "0" || grant.Level != "cpuset" {
			r.Errorf("the ledger has CPU %s, level %s", grant.CPUsText(), grant.Level)
		}
		r.Eventual(func() error { // once it is no runc any more
			if environ := strings.Join(r.Environ(pid), " ") + " "; !strings.Contains(environ, "RTSHIELD_CPUS=1 ") {
				return fmt.Errorf("its environment is %s", environ)
			}
			return nil
		})
		has(r, "status", r.Must(r.Shield("status")).Stdout, "exec into web runs on CPU 0")

		work := "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec /bin/cat /proc/self/status"
		file := filepath.Join(r.Dir, "process.json")
		// An engine may have its own idea of where it shall run.
		put(r, file, `{"args": ["/bin/sh", "-c", "`+work+`"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
			"scheduler": {"policy": "SCHED_FIFO", "priority": 10}, "ExecCPUAffinity": {"initial": "1", "final": "1"}}`)
		for how, run := range map[string]func() rig.Result{
			"json":            func() rig.Result { return r.OCI("exec", "--process", file, "web") },
			"flags":           func() rig.Result { return r.OCI("exec", "web", "/bin/sh", "-c", work) },
			"not by rtshield": func() rig.Result { return r.Plain("exec", "web", "/bin/sh", "-c", work) },
		} {
			before, begun := percpu(r, "web"), time.Now()
			res := r.Must(run())
			took, after := time.Since(begun), percpu(r, "web")
			r.Logf("%s: it took %v; on CPU 0 the container ran for %v, on CPU 1 for %v", how, took, after[0]-before[0], after[1]-before[1])
			has(r, how, res.Stdout, "Cpus_allowed_list:\t0\n")
			if after[0] == before[0] || after[1] == before[1] {
				r.Errorf("%s: exec or the spinner did not run", how)
			}
			apart(r, "after exec by "+how, pid)
		}
		pidFile := filepath.Join(r.Dir, "exec.pid")
		r.Must(r.OCI("exec", "--detach", "--pid-file", pidFile, "web", "/bin/sleep", "60"))
		r.Runs(r.Adopt(pidFile), unix.SCHED_NORMAL, 0, "0")
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestAContainerBesideItsExecKeepsToItsCPU(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), elsewhere)
	pid := r.Detach("web", r.Bundle("web", rig.Class("fifo"), rig.CPUs("1")))
	for _, resources := range []string{
		`{"memory": {"limit": 67108864}}`, `{"cpu": {"cpus": "1"}}`, `{"cpu": {"cpus": "0-1"}}`, `{"cpu": {"shares": 512, "quota": -1}}`,
	} {
		r.Must(engine(r, "web", resources))
		apart(r, resources, pid)
	}
	refused(r, engine(r, "web", `{"cpu": {"cpus": "0"}}`), "CPU 0", "it holds CPU 1 (exec: 0)")

	// What its program could do, without any privilege: status names it, and reconcile takes it back.
	pidFile := filepath.Join(r.Dir, "exec.pid")
	r.Must(r.OCI("exec", "--detach", "--pid-file", pidFile, "web", "/bin/sleep", "60"))
	added := r.Adopt(pidFile)
	var all, zero unix.CPUSet
	all.Fill()
	zero.Set(0)
	for _, mask := range []unix.CPUSet{all, zero} {
		if err := unix.SchedSetaffinity(pid, &mask); err != nil {
			r.Fatal(err)
		}
		has(r, "status", r.Must(r.Shield("status")).Stdout, "1 thread(s) of the container may run on CPU 0: busybox")
		has(r, "reconcile", r.Must(r.Shield("reconcile")).Stdout, "affinity of thread "+strconv.Itoa(pid), "→ 1")
		apart(r, "after reconcile", pid)
		r.Runs(added, unix.SCHED_NORMAL, 0, "0")
	}
	if now := r.Must(r.Shield("status")).Stdout; strings.Contains(now, "of the container may run") {
		r.Errorf("status after reconcile: %s", now)
	}
	r.End("web")
	r.AsBefore("after delete")
}
