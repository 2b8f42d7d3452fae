package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/host/procevents"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

func preemption(v *view) []Finding {
	now := v.preemption
	f := Finding{Name: "preemption", Mark: Limit, Looked: []string{now.Source}}
	f.Why = "interrupt handlers, softirqs and whatever holds a spinlock run to their end before a real-time thread gets its CPU back"
	f.Do = []string{v.distro.realTimeKernel()}
	switch now.Model {
	case "rt":
		return one(Finding{Name: f.Name, Mark: Good, Looked: f.Looked, Found: "PREEMPT_RT"})
	case "full", "lazy":
		f.Found = "not PREEMPT_RT; the kernel's own code makes way for real-time threads (" + now.Model + ")"
	case "none", "voluntary":
		f.Found = "not PREEMPT_RT; what runs in the kernel makes way only where it likes to (" + now.Model + ")"
		f.Why = "a system call, also one of the container's own, runs to its end or to such a place before a real-time thread gets its CPU; " +
			"so do interrupt handlers, softirqs and whatever holds a spinlock"
		if now.Dynamic {
			f.Do, f.Boot = append(f.Do, "or boot with preempt=full"), "preempt=full"
		}
		if slices.Contains(now.Choices, "full") {
			f.Fix = "echo full >" + platform.PreemptFile
			f.fix = func(root host.Root) error { return root.Write("full", platform.PreemptFile) }
		}
	default:
		f.Found = "not PREEMPT_RT; which other model it has cannot be told without the kernel's configuration"
		if now.Dynamic {
			f.Do = append(f.Do, "or boot with preempt=full")
		}
	}
	return one(f)
}

// realTime: whether a thread in a container's cgroup gets the policy of the class. What the kernel was built with does not tell:
// it was tried, or nothing is said.
func realTime(v *view) []Finding {
	if !v.class.Policy.RealTime() {
		return nil
	}
	f := Finding{Name: "real time", Mark: Good, Looked: []string{"a thread in a new cgroup"}}
	what := "a thread in a new cgroup got " + v.grant.PolicyText()
	groups := v.facts.Budget.Period > 0
	_, builtWith := v.config["RT_GROUP_SCHED"]
	switch try := v.trial.policy; {
	case try.done && try.err == nil && groups && try.budget.Period > 0:
		f.Found = fmt.Sprintf("%s, with %d of %d µs of budget (RT_GROUP_SCHED)", what, try.budget.Runtime, try.budget.Period)
	case try.done && try.err == nil:
		f.Found = what
	case try.done:
		f.Mark, f.Found = Fail, fmt.Sprintf("a thread in a new cgroup did not get %s: %v", v.grant.PolicyText(), try.err)
		f.Why = "no container of class " + v.class.Name + " starts here"
		f.Do = v.withoutGroups(groups)
	case try.proof != "":
		f.Found, f.Looked = try.proof, []string{"the ledger"}
	default:
		f.Mark, f.Found = Unknown, "not tried: "+try.why
		if builtWith && !groups {
			f.Why = "this kernel has CONFIG_RT_GROUP_SCHED, which may leave cgroups without real time"
		}
	}
	if builtWith {
		f.Looked = append(f.Looked, "CONFIG_RT_GROUP_SCHED")
	}
	return one(f)
}

// withoutGroups says what helps where groups get no real time.
func (v *view) withoutGroups(budgets bool) []string {
	if budgets {
		return []string{"lower cpu.rt_runtime_us of the cgroups right below the root that have most of it"}
	}
	if v.config["RT_GROUP_SCHED"] != "y" {
		return []string{"run it as root of the host, with CAP_SYS_NICE, and with no security module in the way"}
	}
	if v.Root.AtLeast(6, 15) {
		return []string{"boot with rt_group_sched=0"}
	}
	return []string{"take a kernel without CONFIG_RT_GROUP_SCHED, or boot with cgroup v1"}
}

// rcuPriority is the priority of RCU's threads, which is set at boot.
const rcuPriority = "/sys/module/rcutree/parameters/kthread_prio"

// rcuThreads: on PREEMPT_RT, RCU waits for threads of its own, and raises to their priority whom it waits for.
func rcuThreads(v *view) []Finding {
	if !v.class.Policy.HasPriority() || v.preemption.Model != "rt" {
		return nil
	}
	f := Finding{Name: "RCU threads", Mark: Good, Looked: []string{rcuPriority}}
	text, err := v.Root.Read(rcuPriority)
	priority, errNumber := strconv.Atoi(text)
	if err = errors.Join(err, errNumber); err != nil {
		return unread(f.Name, f.Looked, err)
	}
	ours := v.class.Priority
	f.Found = fmt.Sprintf("they run at FIFO %d, class %s at %d", priority, v.class.Name, ours)
	if priority <= ours {
		f.Mark = Limit
		f.Why = "a container's thread that never sleeps starves them, and an ordinary thread beside it (exec) that is interrupted while RCU waits for it " +
			"hangs whoever waits for RCU, on the whole host, until the container's thread sleeps"
		f.Do = []string{fmt.Sprintf("where programs poll: [class.%s] exec_cpus = \"housekeeping\"", v.class.Name)}
		f.Boot = fmt.Sprintf("rcutree.kthread_prio=%d", min(ours+1, 99))
	}
	return one(f)
}

// quotas: see docs/bandwidth.md.
func quotas(v *view) []Finding {
	if v.preemption.Model != "rt" {
		return nil
	}
	f := Finding{Name: "CPU quotas", Mark: Good, Looked: []string{"/proc/sys/kernel/osrelease"}, Found: "a thread is stopped for its quota only on its way out of the kernel (Linux 6.18)"}
	if !v.Root.AtLeast(6, 18) {
		f.Mark, f.Found = Limit, "a thread may be stopped for its quota while it holds a lock of the kernel's (PREEMPT_RT before Linux 6.18)"
		f.Why = "the timer threads that would give it quota again may wait for that lock: the whole host hangs"
		f.Do = []string{"give no container a CPU quota here (docker run --cpus, limits.cpu, annotation cpu-bandwidth)", "or take Linux 6.18 or later"}
	}
	return one(f)
}

func throttling(v *view) []Finding {
	f := Finding{Name: "RT throttling", Mark: Good, Looked: []string{"/proc/sys/kernel/sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_period_us"}}
	runtime, period, err := rt.Throttle(v.Root)
	groups := v.facts.Budget.Period > 0
	if groups && v.grant.Budget.Period > 0 { // a container's own budget binds it first
		runtime, period, f.Looked = v.grant.Budget.Runtime, v.grant.Budget.Period, []string{"cpu.rt_runtime_us of the root cgroup", "the size of the shield"}
	}
	switch {
	case err != nil:
		return unread(f.Name, f.Looked, err)
	case runtime < 0 || runtime >= period:
		f.Found = "off"
	case !groups && v.Root.AtLeast(6, 12):
		f.Found = "bounds policy deadline only, on this kernel (Linux 6.12)"
	default:
		f.Mark, f.Found = Limit, fmt.Sprintf("real-time threads of a container may have %d of %d µs of a CPU", runtime, period)
		f.Why = "one that runs on and on is stopped for the rest; one that sleeps as long by itself never notices"
		f.Micros = &Micros{float64(period - runtime), fmt.Sprintf("of each %d µs, for a thread that never sleeps", period), "kernel.sched_rt_runtime_us"}
		f.Do = []string{"where programs poll: sysctl kernel.sched_rt_runtime_us=-1 (then nothing stops one that runs wild)"}
		if groups {
			f.Micros.Source, f.Do = "the container's budget, RT_GROUP_SCHED", []string{"where programs poll: take a kernel without CONFIG_RT_GROUP_SCHED"}
		}
	}
	return one(f)
}

func fairServer(v *view) []Finding {
	if v.refused != nil || !v.Root.AtLeast(6, 12) {
		return nil
	}
	cpu := v.layout.Pool.List()[0]
	file := power.FairServer(cpu)
	f := Finding{Name: "fair server", Mark: Good, Looked: []string{file}}
	runtime, err := v.Root.Read(file)
	period, errPeriod := v.Root.Read(power.FairServerPeriod(cpu))
	ns, _ := strconv.ParseFloat(runtime, 64)
	of, _ := strconv.ParseFloat(period, 64)
	wish := v.class.Power.FairServer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Mark, f.Found = Limit, "it can neither be seen nor set: "+power.NoFairServer(v.Root).Error()
		f.Why = "class option fair_server has no effect"
		if v.facts.Budget.Period == 0 {
			f.Why += ", and annotation rt-bandwidth is refused"
		}
		if _, err := os.Stat(v.Root.Path("sys/kernel/debug")); err == nil && errors.Is(power.NoFairServer(v.Root), power.ErrNoDebugfs) {
			f.Do, f.Fix = []string{"mount -t debugfs debugfs /sys/kernel/debug"}, "mount -t debugfs debugfs /sys/kernel/debug"
			f.fix = func(root host.Root) error { return mountAt(root, "debugfs", "sys/kernel/debug") }
		}
	case errors.Is(err, fs.ErrPermission) && v.Privilege != nil:
		return unread(f.Name, f.Looked, v.Privilege)
	case err != nil || errPeriod != nil:
		return unread(f.Name, f.Looked, errors.Join(err, errPeriod))
	case ns == 0:
		f.Found = "off on " + cpuText(v.layout.Pool)
	case wish != shield.Keep && wish != "":
		f.Found = fmt.Sprintf("class %s sets it (fair_server = %q)", v.class.Name, wish)
	default:
		f.Mark, f.Found = Limit, fmt.Sprintf("ordinary threads that wait for a CPU get %.0f of %.0f µs of it", ns/1000, of/1000)
		f.Why = "a real-time thread that runs on and on waits for them; where no ordinary thread waits, it loses nothing"
		f.Micros = &Micros{ns / 1000, fmt.Sprintf("of each %.0f µs, for a thread that never sleeps while an ordinary one waits", of/1000), file}
		f.Do = []string{fmt.Sprintf("where programs poll: [class.%s] fair_server = \"off\"", v.class.Name)}
	}
	return one(f)
}

// events: rules for threads need the kernel to tell of new ones.
func events(v *view) []Finding {
	if v.Root != host.System {
		return nil
	}
	f := Finding{Name: "thread rules", Mark: Good, Looked: []string{"the proc connector (CONFIG_PROC_EVENTS)"}, Found: "the kernel tells of new threads"}
	switch err := procevents.Probe(); {
	case err != nil && v.Privilege != nil:
		return unread(f.Name, f.Looked, v.Privilege)
	case err != nil:
		f.Mark, f.Found, f.Why = Limit, "the kernel does not tell of new threads: "+err.Error(), "a container with annotation threads is refused"
		f.Do = []string{"boot a kernel with CONFIG_PROC_EVENTS"}
	}
	return one(f)
}

func lockdown(v *view) []Finding {
	const securityfs = "mount -t securityfs securityfs /sys/kernel/security"
	f := Finding{Name: "lockdown", Mark: Good, Looked: []string{"/sys/kernel/security/lockdown"}}
	mode := platform.Lockdown(v.Root)
	_, errModules := v.Root.Read("sys/kernel/security/lsm")
	switch {
	case mode == "none":
		f.Found = "off"
	case mode != "":
		f.Mark, f.Found = Limit, mode
		f.Why = "root may not write debugfs, where fair servers and the preemption model are set, nor read the counter of firmware interrupts"
		f.Do = []string{"boot without lockdown=; where Secure Boot brings it, without that"}
	case errModules == nil:
		f.Found = "off: it is none of the security modules in use"
	case v.config["SECURITY_LOCKDOWN_LSM"] == "y":
		f.Mark, f.Found = Limit, "it cannot be seen: securityfs is not mounted"
		f.Why = "it keeps root from debugfs, where fair servers and the preemption model are set"
		f.Do, f.Fix = []string{securityfs}, securityfs
		f.fix = func(root host.Root) error { return mountAt(root, "securityfs", "sys/kernel/security") }
	default:
		f.Found = "this kernel shows none"
	}
	return one(f)
}

func mountAt(root host.Root, kind, dir string) error {
	return unix.Mount(kind, root.Path(dir), kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "")
}
