package runc_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// memoryLimit is what the container's memory cgroup says.
func memoryLimit(r *rig.Rig, id string) int64 {
	return r.Number(rig.Cgroup("memory", rig.CgroupParent+"/"+id, "memory.limit_in_bytes"))
}

// engine updates as containerd and Docker do: JSON on stdin.
func engine(r *rig.Rig, id, resources string) rig.Result {
	r.Helper()
	return r.Feed(resources, "update", "--resources=-", id)
}

func TestAnUpdateOfOtherResourcesLeavesTheShield(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		const mega = 1 << 20
		file := filepath.Join(r.Dir, "resources")
		put(r, file, fmt.Sprintf(`{"memory": {"limit": %d}}`, 65*mega))
		for i, update := range []func() rig.Result{
			func() rig.Result { return engine(r, "web", fmt.Sprintf(`{"memory": {"limit": %d}}`, 64*mega)) },
			func() rig.Result { return r.OCI("update", "--resources", file, "web") },
			func() rig.Result { return r.OCI("update", "--memory", fmt.Sprint(66*mega), "web") },
			// The whole of the resources, as the kubelet's engines send them, and what is the same in other words.
			func() rig.Result {
				return engine(r, "web", fmt.Sprintf(`{"memory": {"limit": %d}, "CPU": {"cpus": "1-1", "mems": "0", "shares": 512, "quota": -1, "realtimeRuntime": 0}}`, 67*mega))
			},
			func() rig.Result {
				return r.OCI("update", "--memory", fmt.Sprint(68*mega), "--cpuset-cpus", "1", "--cpu-quota", "-1", "web")
			},
		} {
			r.Must(update())
			if now := memoryLimit(r, "web"); now != int64(64+i)*mega {
				r.Errorf("update %d: the memory limit is %d", i, now)
			}
			shielded(r, "web", pid)
			// The delegate forgets what an update leaves out.
			if saved := r.Text(filepath.Join(r.Root, "web", "state.json")); !strings.Contains(saved, `"cpuset_cpus":"1"`) {
				r.Errorf("update %d: the delegate does not know the container's CPU any more", i)
			}
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestAnUpdateThatWouldTakeFromTheShieldIsRefused(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		limit := memoryLimit(r, "web")
		for _, update := range []struct {
			resources string
			flags     []string
			words     []string
		}{
			{`{"cpu": {"cpus": "0"}, "memory": {"limit": 67108864}}`, []string{"--cpuset-cpus", "0"}, []string{"CPU 0", "holds CPU 1"}},
			{`{"cpu": {"Cpus": "0-1"}}`, []string{"--cpuset-cpus=0-1"}, []string{"CPU 0-1", "holds CPU 1"}},
			{`{"cpu": {"quota": 50000, "period": 100000}}`, []string{"--cpu-quota", "50000"}, []string{"quota of 50000", "--cpus"}},
			{`{"cpu": {"mems": "7"}}`, []string{"--cpuset-mems", "7"}, []string{"memory node 7", "node 0"}},
			{`{"cpu": {"realtimeRuntime": 1000}}`, []string{"--cpu-rt-runtime", "1000"}, []string{"budget of 1000"}},
			{`{"cpu": {"realtimePeriod": 5000}}`, []string{"--cpu-rt-period", "5000"}, []string{"period of 5000"}},
			{`{"cpu": {"idle": 1}}`, []string{"--cpu-idle", "1"}, []string{"cpu.idle"}},
			{`{"unified": {"cpuset.cpus": "0"}}`, nil, []string{"CPU 0", "holds CPU 1"}},
			{`{"unified": {"cpuset.cpus.partition": "member"}}`, nil, []string{"cpuset.cpus.partition"}},
			{`{"unified": {"cpu.max": "1000 100000"}}`, nil, []string{"quota of 1000"}},
			{`{"cpu": {"cpus": "x"}}`, []string{"--cpuset-cpus", "x"}, []string{`"x"`}},
			{`{"cpu": {"cpus": "1"}, "CPU": {"cpus": "0"}}`, nil, []string{"twice"}},
		} {
			refused(r, engine(r, "web", update.resources), append(update.words, "web")...)
			if update.flags != nil {
				refused(r, r.OCI(append(append([]string{"update"}, update.flags...), "web")...), append(update.words, "web")...)
			}
			shielded(r, "web", pid)
			if now := memoryLimit(r, "web"); now != limit {
				r.Errorf("a refused update changed the memory limit to %d", now)
			}
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

// Engines say again with each update what they wrote at the start, and rtshield has taken out.
func TestAnUpdateThatRepeatsWhatTheEngineWroteKeepsTheShield(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		quota, period := int64(50000), uint64(100000)
		pid := r.Detach("web", r.Bundle("web", rig.Class("fifo"), rig.Annotate("cpuset", "1"), rig.CPUs("0-1"), rig.CPU(func(cpu *specs.LinuxCPU) {
			cpu.Quota, cpu.Period = &quota, &period
		})))
		r.Must(engine(r, "web", `{"cpu": {"cpus": "0-1", "quota": 50000, "period": 100000}}`))
		shielded(r, "web", pid)
		if now := r.Number(rig.Cgroup("cpu", rig.CgroupParent+"/web", "cpu.cfs_quota_us")); now > 0 {
			r.Errorf("the container has a quota of %d µs", now)
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestAnUpdateOfAnOrdinaryContainerCannotReachAHeldCPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		before := r.Detach("before", r.Bundle("before"))
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		after := r.Detach("after", r.Bundle("after", rig.CPUs("0-1")))
		has := func(id, cpus string) {
			r.Helper()
			if now := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/"+id, "cpuset.cpus")); now != cpus {
				r.Errorf("cpuset.cpus of %s is %q, want %q", id, now, cpus)
			}
		}
		for id, pid := range map[string]int{"before": before, "after": after} {
			r.Must(engine(r, id, `{"cpu": {"cpus": "0-1", "shares": 300}}`))
			r.Must(r.OCI("update", "--cpuset-cpus", "0-1", id))
			r.Runs(pid, 0, 0, "0")
			has(id, "0")
			if now := r.Number(rig.Cgroup("cpu", rig.CgroupParent+"/"+id, "cpu.shares")); now != 300 {
				r.Errorf("cpu.shares of %s is %d: the rest of the update is lost", id, now)
			}
			refused(r, engine(r, id, `{"cpu": {"cpus": "1"}}`), id, "CPU 1", "(1: web)")
			r.Runs(pid, 0, 0, "0")
		}
		// What the delegate refuses is forgotten.
		if res := engine(r, "before", `{"cpu": {"cpus": "0"}, "memory": {"limit": 1}}`); res.Code == 0 {
			r.Error("the delegate took a limit of one byte")
		}
		r.Must(engine(r, "after", `{"cpu": {"cpus": "0"}}`)) // its own wish, from now on
		r.End("web")
		has("before", "0-1")
		has("after", "0")
		r.End("before")
		r.End("after")
		r.AsBefore("after delete")
	})
}

func TestReserveAlwaysHoldsThroughUpdates(t *testing.T) {
	rig.EachWith(t, testhost.Options{Layout: `reserve = "always"`}, func(r *rig.Rig) {
		pid := r.Detach("o", r.Bundle("o", rig.CPUs("0")))
		r.Must(engine(r, "o", `{"cpu": {"cpus": "0-1"}}`))
		r.Runs(pid, 0, 0, "0")
		refused(r, engine(r, "o", `{"cpu": {"cpus": "1"}}`), "o", "CPU 1", `reserve = "always"`)
		r.End("o")
		r.AsBefore("after delete")
	})
}

func TestWithoutAShieldAnUpdateIsTheDelegates(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		r.Must(engine(r, "o", `{"cpu": {"cpus": "1"}}`))
		if now := r.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/o", "cpuset.cpus")); now != "1" {
			r.Errorf("cpuset.cpus is %q", now)
		}
		r.End("o")
		// Its own words for what it does not know, or cannot read, also beside a shield.
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		for _, resources := range []string{"{", "", `{"memory": "x"}`, `{"cpu": {"cpus": "0"}}`} {
			same(r, engine(r, "nobody", resources), r.FeedPlain(resources, "update", "--resources=-", "nobody"))
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestWhatIsAddedByExecRunsOrdinaryWhateverTheEngineCopies(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("web", rig.Class("fifo"))
		r.Detach("web", bundle)
		process := func(text string) string {
			return strings.Replace(text, `"args"`, `"scheduler": {"policy": "SCHED_FIFO", "priority": 10}, "args"`, 1)
		}
		plain, err := json.Marshal(map[string]any{
			"args": []string{"/bin/sleep", "60"}, "cwd": "/", "user": map[string]int{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin"},
		})
		if err != nil {
			r.Fatal(err)
		}
		for name, text := range map[string]string{
			"copied": process(string(plain)), "spelled": strings.Replace(process(string(plain)), "scheduler", "Sch\\u0065duler", 1), "plain": string(plain),
		} {
			file, pidFile := filepath.Join(r.Dir, name+".json"), filepath.Join(r.Dir, name+".pid")
			put(r, file, text)
			r.Must(r.OCI("exec", "--detach", "--process", file, "--pid-file", pidFile, "web"))
			r.Runs(r.Adopt(pidFile), unix.SCHED_NORMAL, 0, shieldCPU)
		}
		// Without rtshield a runc that knows schedulers (1.2) makes it real-time.
		file, pidFile := filepath.Join(r.Dir, "direct.json"), filepath.Join(r.Dir, "direct.pid")
		put(r, file, process(string(plain)))
		r.Must(r.Plain("exec", "--detach", "--process", file, "--pid-file", pidFile, "web"))
		pid := r.Adopt(pidFile)
		if now := r.Sched(pid); !strings.Contains(r.Must(r.Plain("--version")).Stdout, "1.1.5") && now.Policy != unix.SCHED_FIFO {
			r.Errorf("nothing was tested: the delegate alone gives policy %d", now.Policy)
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestWithInheritExecRunsAsTheContainerDoes(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: "[class.fifo]\nexec = \"inherit\"\n"}, func(r *rig.Rig) {
		bundle := r.Bundle("web", rig.Class("fifo"))
		if strings.Contains(r.Must(r.Plain("--version")).Stdout, "1.1.5") {
			res, _ := r.TryBegin("create", "web", bundle)
			refused(r, res, "class fifo", `exec = "inherit"`, "runc 1.1.5", "runc 1.2")
			return
		}
		r.Detach("web", bundle)
		file := filepath.Join(r.Dir, "process.json")
		put(r, file, `{"args": ["/bin/sleep", "60"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "scheduler": {"policy": "SCHED_OTHER"}}`)
		for name, args := range map[string][]string{
			"json":  {"--process", file, "web"},
			"flags": {"--env", "A=1", "--env", "B=2", "--cwd", "/bin", "--user", "7:8", "-g", "9", "web", "/bin/sleep", "60"},
		} {
			pidFile := filepath.Join(r.Dir, name+".pid")
			r.Must(r.OCI(append([]string{"exec", "--detach", "--pid-file", pidFile}, args...)...))
			pid := r.Adopt(pidFile)
			r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
			if name == "json" {
				continue
			}
			has(r, "its environment", strings.Join(r.Environ(pid), " "), "A=1", "B=2", "RTSHIELD_CPUS=1")
			status := strings.Join(strings.Fields(r.Text(fmt.Sprintf("/proc/%d/status", pid))), " ")
			has(r, "its status", status, "Uid: 7 7 7 7 Gid: 8 8 8 8", "Groups: 9")
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}
