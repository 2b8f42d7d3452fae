package interference

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// tree makes a host of these files.
func tree(t testing.TB, files map[string]string) host.Root {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(root)
}

func read(t testing.TB, root host.Root, cpus ...int) map[int]Counters {
	t.Helper()
	counters, err := Read(root, cpuset.New(cpus...))
	if err != nil {
		t.Fatal(err)
	}
	return counters
}

func TestAnX86GuestIsReadAsItsKernelPrintedIt(t *testing.T) {
	got := read(t, "testdata/v1-6.18", 1)
	want := map[int]Counters{1: {
		Devices: map[string]uint64{
			"25 ACPI:Ged": 1, "26 ttyS0": 797, "31 virtio0-stats": 344, "35 virtio1-config": 1, "36 virtio1-req.0": 1705158,
			"38 virtio2-input.0": 3778, "42 virtio3-tx": 2982,
		},
		Ticks: 13427443, Reschedule: 4190833, Call: 7770035, TLB: 905360,
		Other: map[string]uint64{"IWI": 1, "HYP": 82},
		Softirqs: map[string]uint64{
			"TIMER": 347862, "NET_TX": 5987, "NET_RX": 8694, "BLOCK": 1704966, "TASKLET": 21, "SCHED": 874362, "RCU": 3066711,
		},
		Steal: 310, // and no tasks: this kernel is without CONFIG_SCHEDSTATS
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRowsOfOtherMachines(t *testing.T) {
	for _, c := range []struct {
		name, interrupts string
		cpus             []int
		want             map[int]Counters
	}{
		{
			"arm64: its timer is a device, its IPIs are told by what they are for", "           CPU0       CPU1       \n" +
				" 11:        814        896     GICv3  27 Level     arch_timer\n" +
				" 42:          0          7     GICv3  23 Level     arm-pmu\n" +
				" 44:          1          5   ITS-MSI 16384 Edge      PCIe PME, pciehp\n" +
				" 45:          0          3     GICv3 318 Edge    \n" +
				"IPI0:    300120     298450       Rescheduling interrupts\n" +
				"IPI1:     90123      89000       Function call interrupts\n" +
				"IPI2:         0          0       CPU stop interrupts\n" +
				"IPI5:        10          9       IRQ work interrupts\n" +
				"Err:          0\n",
			[]int{1},
			map[int]Counters{1: {
				Ticks: 896, Reschedule: 298450, Call: 89000, Other: map[string]uint64{"IPI5": 9},
				Devices: map[string]uint64{"42 arm-pmu": 7, "44 PCIe PME, pciehp": 5, "45 ": 3},
			}},
		},
		{
			"no space before the chip, as some kernels before 6.14 print it", "       CPU0       CPU1\n 27:       1966       1900GIC-0  27 Level     arch_timer\n",
			[]int{0, 1}, map[int]Counters{0: {Ticks: 1966}, 1: {Ticks: 1900}},
		},
		{
			"no space behind the label", "           CPU0       CPU1       \nIPI0:       12         34  Rescheduling interrupts\n",
			[]int{1}, map[int]Counters{1: {Reschedule: 34}},
		},
		{
			"CPU 1 and 2 are offline", "           CPU0       CPU3       \nLOC:          5          6   Local timer interrupts\n",
			[]int{1, 3}, map[int]Counters{3: {Ticks: 6}},
		},
		{
			"NMI, PMI, machine checks and thermal events", "           CPU0       \nNMI:          1   Non-maskable interrupts\n" +
				"PMI:          2   Performance monitoring interrupts\nTRM:          3   Thermal event interrupts\n" +
				"THR:          4   Threshold APIC interrupts\nMCE:          5   Machine check exceptions\n" +
				"MCP:          6   Machine check polls\nIWI:          7   IRQ work interrupts\nERR:          8\n",
			[]int{0},
			map[int]Counters{0: {Other: map[string]uint64{"NMI": 1, "PMI": 2, "TRM": 3, "THR": 4, "MCE": 5, "MCP": 6, "IWI": 7, "ERR": 8}}},
		},
		{"nothing", "", []int{0}, map[int]Counters{}},
		{"no such CPU", "           CPU0       \nLOC:          5   Local timer interrupts\n", []int{7}, map[int]Counters{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, tree(t, map[string]string{"proc/interrupts": c.interrupts}), c.cpus...)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

const onLine = "           CPU5       \nLOC:          5   Local timer interrupts\n"

func TestRunQueuesInEachVersionOfSchedstat(t *testing.T) {
	for version, text := range map[string]string{
		"15": "version 15\ntimestamp 4294900000\ncpu4 0 0 0 0 0 0 1 2 3\ndomain0 f0 0 0 0\ncpu5 0 0 0 0 0 0 7000 80 9\n",
		"16": "version 16\ntimestamp 4294900000\ncpu5 0 0 0 0 0 0 7000 80 9\ndomain0 f0 0 0 0\n",
		"17": "version 17\ntimestamp 4294900000\ncpu5 0 0 0 0 0 0 7000 80 9\ndomain0 SMT f0 0 0 0\n",
	} {
		got := read(t, tree(t, map[string]string{"proc/interrupts": onLine, "proc/schedstat": text}), 5)[5].Tasks
		if got == nil || *got != (Tasks{Ran: 7000, Turns: 9}) {
			t.Errorf("version %s: %+v", version, got)
		}
	}
}

func ptr(n uint64) *uint64 { return &n }

func TestSinceIsWhatCameBetween(t *testing.T) {
	start := Reading{At: 5e9, CPUs: map[int]Counters{3: {
		Devices: map[string]uint64{"36 disk": 10, "37 net": 4, "38 gone": 9, "39 again": 900, "40 wrapped": 1<<32 - 5},
		Ticks:   1<<32 - 10, Reschedule: 4, Steal: 7, Softirqs: map[string]uint64{"RCU": 5}, Foreign: ptr(100),
	}, 4: {Foreign: ptr(5)}}}
	now := Reading{At: 46e9, CPUs: map[int]Counters{3: {
		Devices: map[string]uint64{"36 disk": 11, "37 net": 4, "39 again": 3, "40 wrapped": 2, "41 new": 8},
		Ticks:   2, Reschedule: 5, Call: 2, TLB: 1, Steal: 9, Softirqs: map[string]uint64{"RCU": 6}, Other: map[string]uint64{"NMI": 1},
		Foreign: ptr(350),
	}, 4: {Foreign: ptr(6)}}}
	got := now.Since(start)
	want := Delta{
		Seconds: 41, ForeignNS: ptr(251),
		CPUs: []CPU{{
			CPU:     3,
			Devices: []Device{{41, "new", 8}, {40, "wrapped", 7}, {39, "again", 3}, {36, "disk", 1}},
			Ticks:   12, Reschedule: 1, Call: 2, TLB: 1, StealMS: 20, Other: map[string]uint64{"NMI": 1},
			Softirqs: map[string]uint64{"RCU": 1}, ForeignNS: ptr(250),
		}, {CPU: 4, Devices: []Device{}, ForeignNS: ptr(1)}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n, irqs := got.CPUs[0].IPIs(), got.CPUs[0].DeviceIRQs(); n != 3 || irqs != 19 {
		t.Errorf("%d IPIs, %d device interrupts", n, irqs)
	}
}

func TestACPUThatWentOfflineIsSaidToBe(t *testing.T) {
	start := Reading{CPUs: map[int]Counters{1: {Ticks: 5, Foreign: ptr(1)}, 2: {Ticks: 6, Foreign: ptr(1)}}}
	got := Reading{CPUs: map[int]Counters{1: {Ticks: 6, Foreign: ptr(2)}}}.Since(start)
	if len(got.CPUs) != 2 || got.CPUs[0].Offline || !got.CPUs[1].Offline || got.ForeignNS != nil {
		t.Errorf("%+v", got)
	}
}

// container is a host with a container of two processes: 10, the first, with two threads, and 20, which came in by exec
// and has the child 21.
func container(t *testing.T, more map[string]string) (host.Root, Container) {
	files := map[string]string{
		"proc/interrupts":               onLine,
		"proc/schedstat":                "version 17\ncpu5 0 0 0 0 0 0 900000 80 90\n",
		"cg/a/cpu.stat":                 "usage_usec 600\nuser_usec 1\n",
		"cg/a/cgroup.procs":             "10\n20\n",
		"cg/a/below/cgroup.procs":       "21\n",
		"proc/10/stat":                  "10 (a) b) S 1 10",
		"proc/10/schedstat":             "1 1 5\n",
		"proc/10/task/10/stat":          "",
		"proc/10/task/11/stat":          "",
		"proc/11/stat":                  "11 (a) b) S 1 10",
		"proc/11/schedstat":             "1 1 6\n",
		"proc/20/stat":                  "20 (sh) S 1 20",
		"proc/20/schedstat":             "1 1 70\n",
		"proc/20/task/20/stat":          "",
		"proc/21/stat":                  "21 (sh) S 20 20",
		"proc/21/schedstat":             "1 1 8\n",
		"proc/21/task/21/stat":          "",
		"sys/devices/system/cpu/online": "5\n",
	}
	maps.Copy(files, more)
	return tree(t, files), Container{Cgroup: host.Controller{Mount: "/cg", Dir: "/cg/a", Unified: true}, PID: 10}
}

func take(t *testing.T, root host.Root, c Container) Reading {
	t.Helper()
	reading, err := Take(root, cpuset.New(5), c)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

func TestOnCgroupV2TheContainersOwnShareIsTakenFromTheRunQueue(t *testing.T) {
	root, c := container(t, nil)
	now := take(t, root, c)
	// Not the turns of 20, which came in from outside.
	want := &Own{Time: 600000, Turns: map[int]uint64{10: 5, 11: 6, 21: 8}}
	if !reflect.DeepEqual(now.Own, want) {
		t.Errorf("own: got %+v, want %+v", now.Own, want)
	}
	start := Reading{
		CPUs: map[int]Counters{5: {Tasks: &Tasks{Ran: 100000, Turns: 20}}},
		Own:  &Own{Time: 50000, Turns: map[int]uint64{10: 2, 12: 40}},
	}
	delta := now.Since(start)
	// 800000 ns on the run queue, 550000 of them the container's; 70 turns, of which 3 + 6 + 8 were its live threads'.
	if delta.ForeignNS == nil || *delta.ForeignNS != 250000 || delta.ForeignTurnsAtMost == nil || *delta.ForeignTurnsAtMost != 53 {
		t.Errorf("%+v", delta)
	}
	if turns := delta.CPUs[0].Turns; turns == nil || *turns != 70 {
		t.Errorf("%+v", delta.CPUs)
	}
}

func TestForeignTimeIsNotToldWhileTheContainerRunsOnCgroupV2(t *testing.T) {
	root, c := container(t, map[string]string{"proc/11/stat": "11 (a) b) R 1 10"})
	now := take(t, root, c)
	delta := now.Since(Reading{CPUs: map[int]Counters{5: {Tasks: &Tasks{}}}, Own: &Own{}})
	if delta.ForeignNS != nil || delta.ForeignTurnsAtMost == nil {
		t.Errorf("%+v", delta)
	}
}

func TestWithoutSchedstatNothingIsSaidOfForeignTasksOnCgroupV2(t *testing.T) {
	root, c := container(t, nil)
	if err := os.Remove(root.Path("proc/schedstat")); err != nil {
		t.Fatal(err)
	}
	now := take(t, root, c)
	if delta := now.Since(now); delta.ForeignNS != nil || delta.ForeignTurnsAtMost != nil || len(delta.CPUs) != 1 {
		t.Errorf("%+v", delta)
	}
}

func TestOnCgroupV1ForeignTimeIsTheRootsLessTheContainers(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/interrupts":                 onLine,
		"cpuacct/cpuacct.usage_percpu":    "1 2 1000 \n",
		"cpuacct/c/cpuacct.usage_percpu":  "0 0 400 \n",
		"sys/devices/system/cpu/possible": "0-1,5\n", // its third number is of CPU 5
	})
	now := take(t, root, Container{Cgroup: host.Controller{Mount: "/cpuacct", Dir: "/cpuacct/c"}})
	if foreign := now.CPUs[5].Foreign; foreign == nil || *foreign != 600 || now.Own != nil {
		t.Errorf("%+v", now)
	}
}

func TestAContainerInTheRootCgroupIsNotToldFromTheHost(t *testing.T) {
	root, c := container(t, nil)
	c.Cgroup.Dir = c.Cgroup.Mount
	if now := take(t, root, c); now.Own != nil || now.CPUs[5].Ticks != 5 {
		t.Errorf("%+v", now)
	}
}

func FuzzTables(f *testing.F) {
	for _, file := range []string{"interrupts", "softirqs", "stat"} {
		text, err := os.ReadFile("testdata/v1-6.18/proc/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("version 17\ncpu1 0 0 0 0 0 0 1 2 3\n")
	f.Add(" CPU0 CPU1 CPU1\n:1 2\n 1:1 2GIC  x\n")
	f.Fuzz(func(t *testing.T, text string) {
		counters := map[int]*Counters{}
		for _, read := range []parser{readInterrupts, readSoftirqs, readSteal, readSchedstat} {
			if err := parseFrom(strings.NewReader(text), cpuset.New(0, 1), counters, read); err != nil {
				t.Skip(err) // a line of 256 KiB
			}
		}
		for cpu := range counters {
			if cpu != 0 && cpu != 1 {
				t.Errorf("CPU %d was not asked for", cpu)
			}
		}
	})
}
