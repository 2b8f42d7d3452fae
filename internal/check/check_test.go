package check

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// files are those of a host: a path ending in / is a directory, one whose text begins with -> a link.
type files map[string]string

func (f files) with(changes files) files {
	all := maps.Clone(f)
	maps.Copy(all, changes)
	return all
}

// absent is a file that a change takes away.
const absent = "\x00"

// make writes them into memory, as /proc and /sys are.
func (f files) make(t *testing.T) host.Root {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rtshield-check-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for path, text := range f {
		path = filepath.Join(dir, strings.ReplaceAll(path, "PID", fmt.Sprint(os.Getpid()))) + strings.Repeat("/", strings.Count(path[len(path)-1:], "/"))
		if text == absent {
			continue
		}
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch target, link := strings.CutPrefix(text, "->"); {
		case err != nil || strings.HasSuffix(path, "/"):
		case strings.HasSuffix(path, ".gz"):
			err = os.WriteFile(path, []byte(text), 0o644)
		case link:
			err = os.Symlink(target, path)
		default:
			mode := os.FileMode(0o644)
			if strings.HasSuffix(text, readOnly) {
				mode, text = 0o444, strings.TrimSuffix(text, readOnly)
			}
			err = os.WriteFile(path, []byte(text+"\n"), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(dir)
}

// readOnly ends the text of a file that is.
const readOnly = "\x01"

func zipped(options ...string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, option := range options {
		fmt.Fprintf(w, "CONFIG_%s\n", option)
	}
	_ = w.Close()
	return out.String()
}

var rtConfig = []string{"PREEMPT_RT=y", "HZ=1000", "NO_HZ_FULL=y", "CPUSETS=y", "SECURITY_LOCKDOWN_LSM=y"}

// fit is a server with four CPUs, of which nothing is wrong: Debian 13 with a real-time kernel on the bare metal.
var fit = files{
	"etc/os-release":                                                                  "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"",
	"etc/default/grub":                                                                "GRUB_CMDLINE_LINUX=\"\"",
	"proc/sys/kernel/osrelease":                                                       "6.12.107+deb13-rt-amd64",
	"proc/version":                                                                    "Linux version 6.12.107+deb13-rt-amd64 #1 SMP PREEMPT_RT Debian 6.12.107-1",
	"proc/cmdline":                                                                    "BOOT_IMAGE=/vmlinuz root=/dev/sda1 nohz_full=1-3 quiet",
	"boot/config-6.12.107+deb13-rt-amd64":                                             "CONFIG_" + strings.Join(rtConfig, "\nCONFIG_"),
	"proc/cpuinfo":                                                                    "processor : 0\nvendor_id : GenuineIntel\nflags : fpu tsc",
	"proc/uptime":                                                                     "1000.00 3000.00",
	"proc/stat":                                                                       "cpu  1 0 0 0 0 0 0 0 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0",
	"proc/interrupts":                                                                 "           CPU0       CPU1",
	"proc/swaps":                                                                      "Filename Type Size Used Priority",
	"proc/sys/kernel/sched_rt_runtime_us":                                             "950000",
	"proc/sys/kernel/sched_rt_period_us":                                              "1000000",
	"proc/irq/default_smp_affinity":                                                   "f",
	"proc/irq/24/smp_affinity_list":                                                   "0-3",
	"sys/kernel/irq/24/actions":                                                       "eth0",
	"proc/PID/cgroup":                                                                 "0::/",
	"proc/PID/stat":                                                                   "1 (check) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0",
	"proc/self/mountinfo":                                                             "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
	"sys/fs/cgroup/cgroup.controllers":                                                "cpuset cpu memory",
	"sys/fs/cgroup/cgroup.subtree_control":                                            "cpuset cpu memory",
	"sys/fs/cgroup/cgroup.threads":                                                    "",
	"sys/fs/cgroup/cpuset.cpus.isolated":                                              "",
	"sys/fs/cgroup/system.slice/memory.swap.max":                                      "max",
	"sys/devices/system/cpu/online":                                                   "0-3",
	"sys/devices/system/cpu/isolated":                                                 "",
	"sys/devices/system/cpu/nohz_full":                                                "(null)",
	"sys/devices/system/cpu/smt/active":                                               "0",
	"sys/devices/system/cpu/cpu0/topology/thread_siblings_list":                       "0",
	"sys/devices/system/cpu/cpu1/topology/thread_siblings_list":                       "1",
	"sys/devices/system/cpu/cpu2/topology/thread_siblings_list":                       "2",
	"sys/devices/system/cpu/cpu3/topology/thread_siblings_list":                       "3",
	"sys/devices/system/cpu/cpuidle/current_driver":                                   "intel_idle",
	"sys/devices/system/cpu/cpu1/cpuidle/state0/name":                                 "POLL",
	"sys/devices/system/cpu/cpu1/cpuidle/state0/latency":                              "0",
	"sys/devices/system/cpu/cpu1/cpuidle/state1/name":                                 "C6",
	"sys/devices/system/cpu/cpu1/cpuidle/state1/latency":                              "133",
	"sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us":                      "0",
	"sys/devices/system/cpu/cpu2/power/pm_qos_resume_latency_us":                      "0",
	"sys/devices/system/cpu/cpu3/power/pm_qos_resume_latency_us":                      "0",
	"sys/devices/system/cpu/cpu1/cpufreq":                                             "->../cpufreq/policy0",
	"sys/devices/system/cpu/cpu2/cpufreq":                                             "->../cpufreq/policy0",
	"sys/devices/system/cpu/cpu3/cpufreq":                                             "->../cpufreq/policy0",
	"sys/devices/system/cpu/cpufreq/policy0/affected_cpus":                            "0 1 2 3",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_governor":                         "schedutil",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_available_governors":              "performance schedutil",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq":                         "800000",
	"sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq":                         "3000000",
	"sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference":            "balance_performance",
	"sys/devices/system/cpu/cpufreq/policy0/energy_performance_available_preferences": "performance balance_performance",
	"sys/kernel/debug/sched/fair_server/cpu1/runtime":                                 "0",
	"sys/kernel/debug/sched/fair_server/cpu1/period":                                  "1000000000",
	"sys/kernel/security/lockdown":                                                    "[none] integrity confidentiality",
	"sys/kernel/mm/transparent_hugepage/enabled":                                      "always [madvise] never",
	"sys/devices/system/clocksource/clocksource0/current_clocksource":                 "tsc",
	"sys/devices/system/clocksource/clocksource0/available_clocksource":               "tsc hpet acpi_pm",
	"dev/cpu/1/msr":                                                                   strings.Repeat("\x00", 64),
	"usr/sbin/dockerd":                                                                "",
	"usr/local/bin/rtshield":                                                          "",
	"etc/docker/daemon.json":                                                          `{"runtimes": {"rtshield": {"path": "/usr/local/bin/rtshield"}}}`,
	"sys/module/rcutree/parameters/kthread_prio":                                      "60",
	"sys/devices/virtual/workqueue/":                                                  "",
}

// jobOn is a check of such a host, where what is tried works.
func jobOn(t *testing.T, f files) Job {
	t.Helper()
	return Job{
		Root: f.make(t), Policy: config.Default(), Store: shield.Store{Dir: t.TempDir(), BootID: "x"}, Try: true,
		Delegates: []Delegate{{Path: "/usr/bin/runc", Name: "runc", Version: "1.5.2"}},
		tried: func(*view) (trial, error) {
			cpus := shield.CPUsOf(cpuset.New(1))
			return trial{policy: attempt{done: true}, partition: attempt{done: true, cpus: cpus}, managed: []string{}}, nil
		},
	}
}

func look(t *testing.T, job Job) *Report {
	t.Helper()
	report, err := job.Look()
	if err != nil {
		t.Fatal(err)
	}
	valid(t, report)
	return report
}

func (r *Report) finding(t *testing.T, name string) Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("nothing was found about %s", name)
	}
	return r.Findings[i]
}

// text is all that a finding says.
func (f Finding) text() string {
	text := strings.Join(append([]string{string(f.Mark), f.Found, f.Why}, f.Do...), "\n") + "\nboot " + f.Boot + "\nfix " + f.Fix
	if f.Micros != nil {
		text += fmt.Sprintf("\n%v µs %s (%s)", f.Micros.Value, f.Micros.What, f.Micros.Source)
	}
	return text
}

func TestAFitHostIsGoodInAllRespects(t *testing.T) {
	report := look(t, jobOn(t, fit.with(files{"sys/devices/system/cpu/nohz_full": "(null)", "proc/cmdline": ""})))
	for _, finding := range report.Findings {
		if finding.Mark != Good && finding.Name != "nohz_full" && finding.Name != "CPU quotas" { // there is no better 6.12
			t.Errorf("%s: %s", finding.Name, finding.text())
		}
	}
	if report.Level != shield.LevelPartition || report.Pool.String() != "1-3" || report.ExitStatus() != 0 || report.Boot != nil || !report.Tried {
		t.Errorf("%+v", report)
	}
	if len(report.Findings) < 20 {
		t.Errorf("only %d findings", len(report.Findings))
	}
}

// classed gives the policy's class fifo other options.
func classed(change func(*shield.Class)) func(*Job) {
	return func(job *Job) {
		class := job.Policy.Classes["fifo"]
		change(&class)
		job.Policy.Classes["fifo"] = class
	}
}

func tried(t trial) func(*Job) {
	return func(job *Job) { job.tried = func(*view) (trial, error) { return t, nil } }
}

func kubeletState(policy, shared, entries string) string {
	return fmt.Sprintf(`{"policyName":%q,"defaultCpuSet":%q,"entries":{%s},"checksum":1}`, policy, shared, entries)
}

func TestEachFindingBothWays(t *testing.T) {
	isolatedCPUs := files{"sys/devices/system/cpu/isolated": "2-3", "proc/cmdline": "isolcpus=2-3"}
	v1 := files{
		"proc/PID/cgroup": "2:cpu:/\n1:cpuset:/\n0::/",
		"proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
			"32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
		"sys/fs/cgroup/cpuset/cpuset.cpus": "0-3", "sys/fs/cgroup/cpuset/tasks": "", "sys/fs/cgroup/cpuset/cgroup.procs": "", "sys/fs/cgroup/cpu/": "", "sys/fs/cgroup/unified/": "",
		"proc/PID/status": "Cpus_allowed_list:	0-3",
	}
	budgets := v1.with(files{"sys/fs/cgroup/cpu/cpu.rt_runtime_us": "950000", "sys/fs/cgroup/cpu/cpu.rt_period_us": "1000000"})
	virtual := files{"proc/cpuinfo": "vendor_id : AuthenticAMD\nflags : fpu hypervisor", "sys/class/dmi/id/sys_vendor": "QEMU", "sys/class/dmi/id/product_name": "Standard PC"}
	tuned := files{"proc/55/comm": "tuned", "etc/tuned/active_profile": "throughput-performance"}
	dynamic := files{
		"proc/version":                        "Linux version 6.12.1 #1 SMP PREEMPT_DYNAMIC",
		"boot/config-6.12.107+deb13-rt-amd64": "CONFIG_PREEMPT_VOLUNTARY=y\nCONFIG_PREEMPT_DYNAMIC=y",
	}
	for _, c := range []struct {
		name    string
		finding string
		change  files
		job     func(*Job)
		words   []string // all of these; one that begins with ! is not there
	}{
		{"nobody has CPUs", "shield", files{"sys/devices/system/cpu/online": "0"}, nil, []string{"fail", "this host has no CPU to shield", "two CPUs or more"}},
		{"isolcpus is the shield", "shield", isolatedCPUs, nil, []string{"good", "CPU 2-3 can be granted (boot options isolcpus= and nohz_full=)", "CPU 0-1 keeps house"}},
		{"a layout that cannot be", "shield", nil, func(job *Job) { job.Policy.Layout.Shield = "2-9" }, []string{"fail", "CPU 4-9 is not online"}},

		{"threads of a core", "SMT", files{"sys/devices/system/cpu/smt/active": "1", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0-1",
			"sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "0-1", "sys/devices/system/cpu/cpu2/topology/thread_siblings_list": "2-3",
			"sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "2-3"}, nil, []string{"good", "leaves one idle"}},
		{"half a core", "SMT", files{"sys/devices/system/cpu/smt/active": "1", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2",
			"sys/devices/system/cpu/cpu2/topology/thread_siblings_list": "0,2", "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1,3",
			"sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "1,3"}, func(job *Job) { job.Policy.Layout.Shield = "1-3" }, []string{"limit", "CPU 0 keeps house on a core of the shield", "whole cores"}},

		{"no isolcpus", "isolcpus", nil, nil, []string{"good", "none at boot"}},
		{"isolcpus for nobody", "isolcpus", isolatedCPUs, func(job *Job) { job.Policy.Layout.Shield = "3" }, []string{"limit", "CPU 2 is isolated at boot and not in the shield"}},

		{"ticks", "nohz_full", nil, nil, []string{"limit", "nohz_full=1-3 rcu_nocbs=1-3", "level cpuset, not partition", "1000 µs from one tick to the next (CONFIG_HZ=1000)"}},
		{"ticks for ever", "nohz_full", files{"boot/config-6.12.107+deb13-rt-amd64": "CONFIG_HZ=250"}, nil, []string{"limit", "this kernel cannot do otherwise", "4000 µs", "!boot with"}},
		{"no ticks", "nohz_full", files{"sys/devices/system/cpu/nohz_full": "1-3"}, nil, []string{"good", "no tick while one thread"}},

		{"PREEMPT_RT", "preemption", nil, nil, []string{"good", "PREEMPT_RT"}},
		{"PREEMPT_RT by sysfs", "preemption", dynamic.with(files{"sys/kernel/realtime": "1"}), nil, []string{"good"}},
		{"built voluntary", "preemption", dynamic, nil, []string{"limit", "(voluntary)", "linux-image-rt-", "boot preempt=full", "!fix echo"}},
		{"booted full", "preemption", dynamic.with(files{"proc/cmdline": "preempt=full"}), nil, []string{"limit", "(full)", "!preempt=full"}},
		{"voluntary, and can be full", "preemption", dynamic.with(files{"sys/kernel/debug/sched/preempt": "none (voluntary) full"}), nil,
			[]string{"limit", "(voluntary)", "fix echo full >/sys/kernel/debug/sched/preempt"}},
		{"full by debugfs", "preemption", dynamic.with(files{"sys/kernel/debug/sched/preempt": "none voluntary (full)"}), nil, []string{"limit", "(full)", "!fix echo"}},
		{"lazy", "preemption", files{"proc/version": "Linux version 7.2 #1 SMP PREEMPT_DYNAMIC", "sys/kernel/debug/sched/preempt": "full (lazy)"}, nil, []string{"limit", "(lazy)", "!fix echo"}},
		{"no configuration", "preemption", files{"proc/version": "Linux version 6.1 #1 SMP", "boot/config-6.12.107+deb13-rt-amd64": absent}, nil, []string{"limit", "cannot be told"}},
		{"configuration in /proc", "preemption", files{"proc/version": "Linux version 6.1 #1 SMP", "proc/config.gz": zipped("PREEMPT_NONE=y")}, nil, []string{"limit", "(none)"}},

		{"RCU above it", "RCU threads", nil, nil, []string{"good", "FIFO 60, class fifo at 50"}},
		{"RCU below it", "RCU threads", files{"sys/module/rcutree/parameters/kthread_prio": "1"}, nil,
			[]string{"limit", "FIFO 1, class fifo at 50", "the whole host", `exec_cpus = "housekeeping"`, "boot rcutree.kthread_prio=51"}},
		{"RCU cannot be seen", "RCU threads", files{"sys/module/rcutree/parameters/kthread_prio": absent}, nil, []string{"unknown", "no such file"}},
		{"quotas may hang it", "CPU quotas", nil, nil, []string{"limit", "the whole host hangs", "6.18 or later"}},
		{"quotas are mended", "CPU quotas", files{"proc/sys/kernel/osrelease": "6.18.1-rt"}, nil, []string{"good", "on its way out of the kernel"}},

		{"a kubelet that fits", "kubelet", files{"var/lib/kubelet/cpu_manager_state": kubeletState("static", "0-3", "")}, nil, []string{"good", "on no CPU that rtshield counts on"}},
		{"the kubelet's CPU keeps house", "kubelet", files{"var/lib/kubelet/cpu_manager_state": kubeletState("static", "2-3", `"pod1":{"app":"0-1"}`)}, nil,
			[]string{"limit", "has given CPU 0 away (app of pod pod1)", "reservedSystemCPUs"}},
		{"the kubelet reserves others", "kubelet", files{"var/lib/kubelet/config.yaml": "cpuManagerPolicy: static\nreservedSystemCPUs: \"3\""}, nil,
			[]string{"fail", "may give CPU 0 to a pod", "reservedSystemCPUs: \"0\""}},
		{"a kubelet that gives none", "kubelet", files{"var/lib/kubelet/cpu_manager_state": kubeletState("none", "", "")},
			func(job *Job) { job.Policy.Layout.CPUsFrom = shield.FromEngine }, []string{"fail", "policy none", `cpus_from = "auto"`}},
		{"a kubelet's record that cannot be read", "kubelet", files{"var/lib/kubelet/cpu_manager_state": "{"}, nil, []string{"fail", "cpu_manager_state", `cpus_from = "rtshield"`}},

		{"FIFO", "real time", nil, nil, []string{"good", "got fifo 50"}},
		{"no FIFO", "real time", files{"boot/config-6.12.107+deb13-rt-amd64": "CONFIG_RT_GROUP_SCHED=y"},
			tried(trial{policy: attempt{done: true, err: errors.New("operation not permitted")}}), []string{"fail", "not permitted", "kernel without CONFIG_RT_GROUP_SCHED"}},
		{"no FIFO, and an option helps", "real time", files{"boot/config-6.12.107+deb13-rt-amd64": absent, "proc/config.gz": zipped("RT_GROUP_SCHED=y"), "proc/sys/kernel/osrelease": "6.18.1"},
			tried(trial{policy: attempt{done: true, err: errors.New("operation not permitted")}}), []string{"fail", "rt_group_sched=0"}},
		{"no budget left", "real time", budgets, tried(trial{policy: attempt{done: true, err: errors.New("invalid argument")}}), []string{"fail", "cpu.rt_runtime_us of the cgroups"}},
		{"a budget", "real time", budgets, tried(trial{policy: attempt{done: true, budget: shield.Budget{Runtime: 316000, Period: 1000000}}}), []string{"good", "316000 of 1000000 µs of budget"}},
		{"FIFO is in use", "real time", nil, tried(trial{policy: attempt{proof: "container web runs fifo 50"}}), []string{"good", "container web runs fifo 50"}},
		{"nothing is tried", "real time", nil, func(job *Job) { job.Try = false }, []string{"unknown", "not tried: it was to be left out"}},
		{"a user", "real time", nil, func(job *Job) { job.Privilege = errors.New("rtshield runs as uid 1000") }, []string{"unknown", "uid 1000"}},

		{"policy deadline", "real time", nil, func(job *Job) { job.Class = "deadline" }, []string{"good", "got deadline 500µs/1ms/1ms"}},

		{"throttling of old", "RT throttling", files{"proc/sys/kernel/osrelease": "6.1.0"}, nil, []string{"limit", "950000 of 1000000", "50000 µs of each 1000000 µs", "sched_rt_runtime_us=-1"}},
		{"throttling of old, off", "RT throttling", files{"proc/sys/kernel/osrelease": "6.1.0", "proc/sys/kernel/sched_rt_runtime_us": "-1"}, nil, []string{"good", "off"}},
		{"throttling since 6.12", "RT throttling", nil, nil, []string{"good", "policy deadline only"}},
		{"throttling of groups", "RT throttling", budgets, nil, []string{"limit", "316000 of 1000000", "684000 µs", "the container's budget", "!sysctl"}},

		{"fair server", "fair server", files{"sys/kernel/debug/sched/fair_server/cpu1/runtime": "50000000"}, nil, []string{"limit", "50000 of 1000000 µs", "50000 µs of each", `fair_server = "off"`}},
		{"fair server off", "fair server", nil, nil, []string{"good", "off on CPU 1-3"}},
		{"no debugfs", "fair server", files{"sys/kernel/debug/sched/fair_server/cpu1/runtime": absent, "sys/kernel/debug/sched/fair_server/cpu1/period": absent, "sys/kernel/debug/": ""}, nil,
			[]string{"limit", "debugfs is not mounted", "rt-bandwidth is refused", "fix mount -t debugfs"}},

		{"lockdown", "lockdown", files{"sys/kernel/security/lockdown": "none [integrity] confidentiality"}, nil, []string{"limit", "integrity", "Secure Boot"}},
		{"no lockdown", "lockdown", nil, nil, []string{"good", "off"}},
		{"no securityfs", "lockdown", files{"sys/kernel/security/lockdown": absent}, nil, []string{"limit", "cannot be seen", "fix mount -t securityfs"}},
		{"lockdown not in use", "lockdown", files{"sys/kernel/security/lockdown": absent, "sys/kernel/security/lsm": "capability,apparmor"}, nil, []string{"good", "none of the security modules"}},
		{"no lockdown in the kernel", "lockdown", files{"sys/kernel/security/lockdown": absent, "boot/config-6.12.107+deb13-rt-amd64": "CONFIG_HZ=250"}, nil, []string{"good", "shows none"}},

		{"cgroup v2", "hierarchy", nil, nil, []string{"good", "cgroup v2"}},
		{"cgroup v1", "hierarchy", v1, nil, []string{"limit", "cgroup v1 has the cpusets (/sys/fs/cgroup/cpuset)", "!systemd.unified"}},
		{"cgroup v1 with systemd", "hierarchy", v1.with(files{"run/systemd/system/": ""}), nil, []string{"limit", "boot systemd.unified_cgroup_hierarchy=1"}},
		{"no cpusets", "hierarchy", files{"sys/fs/cgroup/cgroup.controllers": "cpu memory"}, nil, []string{"limit", "no cpuset controller"}},

		{"a partition", "partition", nil, nil, []string{"good", "CPU 1 was made a partition, and given back"}},
		{"a partition is in use", "partition", nil, tried(trial{partition: attempt{proof: "container web has CPU 1 as a partition"}}), []string{"good", "container web"}},
		{"no partition", "partition", nil, tried(trial{partition: attempt{done: true, err: errors.New("isolated invalid (Cpu list in cpuset.cpus not exclusive)")}}),
			[]string{"fail", "not exclusive", "partition: none"}},
		{"before 6.7", "partition", files{"sys/fs/cgroup/cpuset.cpus.isolated": absent}, nil, []string{"limit", "level cpuset: a partition takes cgroup v2 and Linux 6.7"}},
		{"isolcpus makes no partitions", "partition", isolatedCPUs, nil, []string{"limit", "level cpuset: CPU 2 is isolated at boot", "boot without isolcpus="}},
		{"the layout wants less", "partition", nil, func(job *Job) { job.Policy.Layout.Level = "affinity" }, []string{"limit", "level affinity: [layout] level allows no more"}},

		{"interrupts that move", "managed interrupts", nil, nil, []string{"good", "none of 1 interrupts"}},
		{"a managed interrupt", "managed interrupts", files{"proc/irq/25/smp_affinity_list": "2" + readOnly, "sys/kernel/irq/25/actions": "nvme0q3"}, nil,
			[]string{"limit", "1 may arrive on CPU 1-3: irq 25 (nvme0q3)", "boot isolcpus=managed_irq,1-3"}},
		{"one elsewhere", "managed interrupts", files{"proc/irq/25/smp_affinity_list": "0" + readOnly, "sys/kernel/irq/25/actions": "nvme0q1"}, nil, []string{"good"}},
		{"one under managed_irq", "managed interrupts", files{"proc/irq/25/smp_affinity_list": "2" + readOnly, "sys/kernel/irq/25/actions": "nvme0q3",
			"proc/cmdline": "isolcpus=managed_irq,1-3"}, nil, []string{"limit", "only for what the CPUs of the shield do with the device themselves", "!boot with"}},
		{"one beside another isolcpus", "managed interrupts", isolatedCPUs.with(files{"proc/irq/25/smp_affinity_list": "2" + readOnly, "sys/kernel/irq/25/actions": "nvme0q3"}), nil,
			[]string{"limit", "boot with isolcpus=managed_irq,domain,2-3 in place of"}},
		{"one that only a write shows", "managed interrupts", files{"proc/sys/kernel/osrelease": "6.1.0"}, tried(trial{managed: []string{"irq 26 (virtio1-req.0)"}}),
			[]string{"limit", "irq 26 (virtio1-req.0)"}},
		{"none was written", "managed interrupts", files{"proc/sys/kernel/osrelease": "6.1.0"}, func(job *Job) { job.Try = false }, []string{"unknown", "only a write tells"}},

		{"no irqbalance", "irqbalance", nil, nil, []string{"good", "does not run"}},
		{"irqbalance by its file", "irqbalance", files{"sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs": "77", "proc/77/comm": "irqbalance",
			"run/systemd/system/": "", "etc/default/irqbalance": ""}, nil, []string{"good", "is told which CPUs to leave out by /etc/default/irqbalance"}},
		{"an irqbalance that hears nothing", "irqbalance", files{"run/irqbalance.pid": "77", "proc/77/comm": "irqbalance"}, nil, []string{"limit", "cannot be told", "no socket"}},

		{"sleep is bounded", "sleep states", nil, nil, []string{"good", "C6, of 133 µs", "cstates 20us", "133 µs to wake up from C6 (cpuidle driver intel_idle)"}},
		{"sleep is not bounded", "sleep states", nil, classed(func(c *shield.Class) { c.Power.CStates = shield.Keep }), []string{"limit", "may sleep in C6", `cstates = "20us"`}},
		{"no idle driver", "sleep states", files{"sys/devices/system/cpu/cpuidle/current_driver": "none"}, nil, []string{"limit", "no driver"}},
		{"idle=poll", "sleep states", virtual.with(files{"sys/devices/system/cpu/cpuidle/current_driver": "none", "proc/cmdline": "idle=poll"}), nil, []string{"good", "idle=poll"}},
		{"a hypervisor that leaves sleep to the guest", "sleep states", virtual, nil, []string{"good", "C6, of 133 µs"}},
		{"a hypervisor's idle", "sleep states", virtual.with(files{"sys/devices/system/cpu/cpuidle/current_driver": "haltpoll"}), nil, []string{"limit", "given to the hypervisor", `cstates = "off" polls`, "!µs"}},

		{"governor", "frequency", nil, nil, []string{"good", "governor schedutil; performance while"}},
		{"governor is left", "frequency", nil, classed(func(c *shield.Class) { c.Power.Governor, c.Power.Preference = shield.Keep, shield.Keep }), []string{"limit", "governor schedutil", `governor = "performance"`}},
		{"no such governor", "frequency", files{"sys/devices/system/cpu/cpufreq/policy0/scaling_available_governors": "powersave schedutil"}, nil, []string{"limit", "governor performance"}},
		{"no cpufreq", "frequency", files{"sys/devices/system/cpu/cpu1/cpufreq": absent}, nil, []string{"limit", "no cpufreq driver"}},

		{"tsc", "clocksource", nil, nil, []string{"good", "tsc"}},
		{"hpet though there is a tsc", "clocksource", files{"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, nil, []string{"limit", "hpet", "fix echo tsc >"}},
		{"hpet for want of a tsc", "clocksource", files{"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
			"sys/devices/system/clocksource/clocksource0/available_clocksource": "hpet acpi_pm"}, nil, []string{"limit", "dmesg", "!fix echo"}},

		{"bare metal", "hypervisor", nil, nil, []string{"good", "none"}},
		{"virtual by its firmware", "hypervisor", files{"proc/cpuinfo": "CPU implementer : 0x41", "sys/class/dmi/id/sys_vendor": "QEMU"}, nil, []string{"limit", "QEMU"}},
		{"virtual", "hypervisor", virtual.with(files{"proc/stat": "cpu  1 0 0 0 0 0 0 60 0 0\ncpu0 1 0 0 0 0 0 0 40 0 0\ncpu1 1 0 0 0 0 0 0 20 0 0"}), nil,
			[]string{"limit", "QEMU Standard PC", "300 µs taken of each CPU each second", "vcpupin"}},

		{"no SMIs", "firmware", nil, nil, []string{"good", "no system management interrupt"}},
		{"SMIs", "firmware", files{"dev/cpu/1/msr": strings.Repeat("\x00", 0x34) + "\x2a" + strings.Repeat("\x00", 16)}, nil, []string{"limit", "42 system management interrupts", "apt-get install rt-tests && hwlatdetect"}},
		{"no module msr", "firmware", files{"dev/cpu/1/msr": absent}, nil, []string{"limit", "modprobe msr"}},
		{"AMD", "firmware", files{"proc/cpuinfo": "vendor_id : AuthenticAMD\nflags : fpu"}, nil, []string{"limit", "does not count"}},

		{"no swap", "swap", nil, nil, []string{"good", "none"}},
		{"swap that the class keeps off", "swap", files{"proc/swaps": "Filename\n/dev/sda2 partition 1 0 -2"}, nil, []string{"good", "memory.swap.max"}},
		{"swap", "swap", files{"proc/swaps": "Filename\n/dev/sda2 partition 1 0 -2"}, classed(func(c *shield.Class) { c.Swap = shield.Keep }), []string{"limit", `swap = "off"`}},
		{"swap without a memory controller", "swap", files{"proc/swaps": "Filename\n/dev/sda2 partition 1 0 -2", "sys/fs/cgroup/system.slice/memory.swap.max": absent}, nil, []string{"limit", "swapoff -a"}},

		{"THP on demand", "THP", nil, nil, []string{"good", "madvise"}},
		{"THP always", "THP", files{"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, nil, []string{"limit", "always", `thp = "never"`, "fix echo madvise"}},
		{"THP not for the class", "THP", files{"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, classed(func(c *shield.Class) { c.THP = shield.Never }), []string{"good", "turns it off"}},
		{"no THP", "THP", files{"sys/kernel/mm/transparent_hugepage/enabled": absent}, nil, []string{"good", "no transparent"}},

		{"tuned", "other tuners", tuned, nil, []string{"limit", "tuned (profile throughput-performance)", "systemctl disable --now tuned"}},
		{"no tuned", "other tuners", nil, nil, []string{"good"}},

		{"runc", "delegate", nil, nil, []string{"good", "runc 1.5.2 (/usr/bin/runc)"}},
		{"no runc", "delegate", nil, func(job *Job) { job.Delegates = []Delegate{{Err: errors.New("no OCI runtime to hand over to")}} }, []string{"fail", "no OCI runtime", "apt-get install runc"}},
		{"runc and crun", "delegate", nil, func(job *Job) {
			job.Delegates = append(job.Delegates, Delegate{Path: "/usr/bin/crun", Name: "crun", Version: "1.19"}, Delegate{Path: "/usr/bin/odd", Err: errors.New("it hangs")})
		}, []string{"good", "beside it crun 1.19 (/usr/bin/crun); beside it /usr/bin/odd (it hangs)"}},
		{"an old runc", "delegate", nil, func(job *Job) {
			job.Delegates = []Delegate{{Path: "/usr/sbin/runc", Name: "runc", Version: "1.1.5", Cannot: []string{"cpu-burst"}}}
		}, []string{"limit", "runc 1.1.5 (/usr/sbin/runc) cannot do cpu-burst"}},

		{"docker knows us", "docker", nil, nil, []string{"good", "knows rtshield"}},
		{"docker does not", "docker", files{"etc/docker/daemon.json": "{}"}, nil, []string{"limit", "does not know rtshield", "rtshield install docker --class fifo"}},
		{"docker knows one that is gone", "docker", files{"usr/local/bin/rtshield": absent}, nil, []string{"fail", "rtshield = /usr/local/bin/rtshield, and there is no such program"}},
		{"docker has nonsense", "docker", files{"etc/docker/daemon.json": "{"}, nil, []string{"limit", "not JSON"}},
		{"containerd of docker", "containerd", files{"usr/bin/containerd": "", "etc/containerd/config.toml": `disabled_plugins = ["cri"]`}, nil, []string{"good", "serves no Kubernetes"}},
		{"containerd", "containerd", files{"usr/bin/containerd": "", "etc/containerd/config.toml": "version = 2"}, nil, []string{"limit", "rtshield install containerd"}},
		{"no engine", "engine", files{"usr/sbin/dockerd": absent}, nil, []string{"limit", "none is installed", "docker.io"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := jobOn(t, fit.with(c.change))
			if c.job != nil {
				c.job(&job)
			}
			text := look(t, job).finding(t, c.finding).text()
			for _, word := range c.words {
				if unwanted, not := strings.CutPrefix(word, "!"); not && strings.Contains(text, unwanted) || !not && !strings.Contains(text, word) {
					t.Errorf("%q in %s", word, text)
				}
			}
		})
	}
}

func TestAClassWithoutRealTimeIsNotHeldToIt(t *testing.T) {
	job := jobOn(t, fit)
	job.Class = "batch"
	if slices.ContainsFunc(look(t, job).Findings, func(f Finding) bool { return f.Name == "real time" }) {
		t.Error("class batch needs no real-time policy")
	}
	job.Class = "nosuch"
	if _, err := job.Look(); err == nil || !strings.Contains(err.Error(), `"nosuch" is not one of`) {
		t.Errorf("an unknown class: %v", err)
	}
}
