package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/machines"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pageMachine is the one that the page names: two EPYC 7742, cgroup v2, Linux 6.12.
func pageMachine(t *testing.T) host.Root {
	t.Helper()
	root := machines.Tree(t, "epyc-two-sockets")
	online, err := root.Online()
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, parts ...string) { put(t, root.Path(parts...), text) }
	link := func(target, path string) {
		if err := os.MkdirAll(filepath.Dir(root.Path(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, root.Path(path)); err != nil {
			t.Fatal(err)
		}
	}
	pid := strconv.Itoa(os.Getpid())
	const cpus, cgroups, pci = "sys/devices/system/cpu", "sys/fs/cgroup", "sys/devices/pci0000:80/0000:81:00.0"
	for path, text := range map[string]string{
		"proc/self/mountinfo":                        "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
		"proc/" + pid + "/cgroup":                    "0::/",
		"proc/" + pid + "/status":                    "Name:\trtshield\nTHP_enabled:\t1",
		"proc/swaps":                                 "Filename\tType\tSize\n/dev/sda2\tpartition\t8388604",
		"proc/sys/kernel/osrelease":                  "6.12.57",
		"proc/sys/kernel/random/boot_id":             "3f1c1f6e-8f0e-4c58-9f4e-1f6a3c1d2b4a",
		"proc/sys/kernel/sched_rt_runtime_us":        "950000",
		"proc/sys/kernel/sched_rt_period_us":         "1000000",
		"proc/irq/default_smp_affinity":              host.FormatMask(online),
		"proc/irq/40/smp_affinity_list":              online.String(),
		"proc/irq/40/node":                           "1",
		"sys/kernel/irq/40/actions":                  "eth1-rx-0",
		"sys/devices/virtual/workqueue/cpumask":      host.FormatMask(online),
		cgroups + "/cgroup.controllers":              "cpuset cpu memory hugetlb pids",
		cgroups + "/cgroup.threads":                  "",
		cgroups + "/cpuset.cpus.effective":           online.String(),
		cgroups + "/cpuset.cpus.isolated":            "",
		cgroups + "/system.slice/cgroup.threads":     "",
		cgroups + "/system.slice/memory.swap.max":    "max",
		cgroups + "/system.slice/cpuset.cpus":        "",
		cpus + "/cpuidle/current_driver":             "acpi_idle",
		pci + "/numa_node":                           "1",
		pci + "/net/eth1/mtu":                        "1500",
		"sys/fs/resctrl/info/L3/cbm_mask":            "ffff",
		"sys/fs/resctrl/info/L3/shareable_bits":      "0",
		"sys/fs/resctrl/info/L3/min_cbm_bits":        "1",
		"sys/fs/resctrl/info/L3/num_closids":         "16",
		"sys/kernel/mm/hugepages/hugepages-2048kB/x": "",
	} {
		write(text, path)
	}
	link("../../devices/pci0000:80/0000:81:00.0/net/eth1", "sys/class/net/eth1")
	link("../../../0000:81:00.0", pci+"/net/eth1/device")
	link("../../../devices/pci0000:80/0000:81:00.0", "sys/bus/pci/devices/0000:81:00.0")
	var schemata []string
	for _, cpu := range online.List() {
		name, policy, l3 := "cpu"+strconv.Itoa(cpu), "policy"+strconv.Itoa(cpu), strconv.Itoa(cpu%128/4)
		if cpu < 128 && cpu%4 == 0 {
			schemata = append(schemata, l3+"=ffff")
		}
		link("../cpufreq/"+policy, cpus+"/"+name+"/cpufreq")
		for path, text := range map[string]string{
			cpus + "/" + name + "/power/pm_qos_resume_latency_us":        "0",
			cpus + "/" + name + "/cache/index3/id":                       l3,
			cpus + "/cpufreq/" + policy + "/scaling_governor":            "schedutil",
			cpus + "/cpufreq/" + policy + "/scaling_available_governors": "performance schedutil powersave",
			cpus + "/cpufreq/" + policy + "/affected_cpus":               strconv.Itoa(cpu),
			cpus + "/cpufreq/" + policy + "/scaling_min_freq":            "1500000",
			cpus + "/cpufreq/" + policy + "/scaling_max_freq":            "2250000",
			"sys/kernel/debug/sched/fair_server/" + name + "/runtime":    "50000000",
			"sys/kernel/debug/sched/fair_server/" + name + "/period":     "1000000000",
		} {
			write(text, path)
		}
	}
	write("L3:"+strings.Join(schemata, ";"), "sys/fs/resctrl/schemata")
	for _, pool := range []string{"hugepages-2048kB", "hugepages-1048576kB"} {
		for _, dir := range []string{"sys/kernel/mm/hugepages", "sys/devices/system/node/node0/hugepages", "sys/devices/system/node/node1/hugepages"} {
			for file, text := range map[string]string{"nr_hugepages": "8", "free_hugepages": "8", "surplus_hugepages": "0"} {
				write(text, dir, pool, file)
			}
		}
	}
	return root
}
