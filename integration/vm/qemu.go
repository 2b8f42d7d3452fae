package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Variant is one column of the matrix.
type Variant struct {
	// Series is the kernel's; Name the column's, such as "6.12, cgroup v1".
	Series, Name string
	// Boot are words for the kernel's command line.
	Boot string
	// Run names the only tests that mean something there, as `go test -run` does. Empty: all.
	Run string
	// Small has two CPUs, which the suites of a host are written for.
	Small bool
	// Memory is what it has, as qemu's -m; "" for what all others have. The root file system is in it.
	Memory string
}

// Matrix is what `make vmtest` boots. cgroup v1 is tried on 6.1: Debian's 6.12 is built without CONFIG_CPUSETS_V1, so
// that there cpuset exists on v2 only, whatever is mounted.
var Matrix = []Variant{
	{Series: "6.1", Name: "6.1"},
	{Series: "6.12", Name: "6.12"},
	{Series: "7.2", Name: "7.2"},
	{Series: "6.1", Name: "6.1 cgroup v1", Boot: "vm.cgroup=v1"},
	{Series: "6.12", Name: "6.12 isolcpus", Boot: "isolcpus=managed_irq,domain,4-7 nohz_full=4-7 rcu_nocbs=4-7", Run: isolcpusTests},
	{Series: "6.12", Name: "6.12 no cpusets", Boot: "cgroup_disable=cpuset", Run: "WithoutCpusets"},
}

// SystemdMatrix is what `make vmtest-systemd` boots: a level partition and a level cpuset.
var SystemdMatrix = []Variant{
	{Series: "6.12", Name: "6.12 systemd"},
	{Series: "6.1", Name: "6.1 systemd"},
}

// isolcpusTests are those to which it makes a difference that no load is balanced on the shield, that it is in no partition, has
// no tick, and no managed interrupts. All others would say again what they say of 6.12.
const isolcpusTests = "^Test(RealTimeThreadsLeave|ABusyLoop|CheckSays|TheShieldOutlivesHotplug|InterferenceIsCounted|WhatAContainerDoes|" +
	"MovableInterrupts|ManagedInterrupts|IrqbalanceBrings|IrqbalanceKeeps|TheLevelIs|SeveralCPUs|NoTaskOutside|ShieldedContainersEnd|" +
	"AFullShield|AnOrdinaryContainerIsCut|AKilledContainer|EachThreadPolicy|TheIdleSibling|AContainerIsPut|TheFairServer|TheExitLatency|" +
	"Deadline|ExplainChanges|AShieldedContainerHas|FIFOHoldsBefore|ExecRuns|ThreadsRun|VerifyNames)"

// SuiteMatrix is what `make vmtest-suites` boots: cgroup v2, which the machine of `make test` may not have.
var SuiteMatrix = []Variant{{Series: "6.12", Name: "6.12 two CPUs", Small: true}}

// BootLimit bounds one VM, from qemu's start to its end. The tests in it have what is left after the kernel's start. Most
// take ten to twenty minutes where two run at once on two CPUs; a machine that is slower is no failure.
const BootLimit = 35 * time.Minute

// KubernetesMatrix is what `make vmtest-kubernetes` boots: a kubelet on cgroup v2, which the machine of `make k8stest` may not have.
// Not TestProbesAndExec: what runs beside a loop at FIFO has a twentieth of an emulated CPU, on which a probe takes minutes.
var KubernetesMatrix = []Variant{{Series: "6.12", Name: "6.12 Kubernetes", Small: true, Memory: "6G", Run: "^Test(A|Check|The|What)"}}

// qemuArgs: 8 CPUs as 2 sockets of 2 cores of 2 threads, each socket a NUMA node. The disks have a queue for each CPU,
// whose interrupts the kernel manages itself; the network cards' interrupts can be moved. -cpu needs a vendor whose
// threads the kernel believes: with the default, AMD, it takes all for cores. It goes without what costs an emulator most:
// string instructions byte by byte (erms, fsrm) and page tables of five levels.
// The payload's ACPI table gives them performance states, for cpufreq.
func qemuArgs(kernel Kernel, variant Variant, payload Payload, limit time.Duration, initramfs, console, result string) []string {
	// kthread_prio: loops at FIFO 50 starve RCU's threads at 1, and with them all who wait for RCU; see docs/security.md.
	words := []string{
		"rcutree.kthread_prio=60", "console=ttyS0", "loglevel=4", "panic=-1", "rdinit=/init", "rtshield.vm=1", "mitigations=off",
		"vm.timeout=" + (limit - limit/8).String(), variant.Boot,
	}
	var disk []string
	if payload.Image != "" {
		words = append(words, "systemd.wants=rtshield-tests.service", "systemd.mask=serial-getty@ttyS0.service",
			"systemd.default_timeout_start_sec=300", "systemd.show_status=0")
		disk = []string{
			"-drive", "file=" + payload.Image + ",format=raw,if=none,id=image,snapshot=on,cache=unsafe",
			"-device", "virtio-blk-pci,drive=image,serial=image",
		}
	}
	cpus := []string{
		"-smp", "8,sockets=2,cores=2,threads=2",
		"-object", "memory-backend-ram,id=m0,size=768M", "-object", "memory-backend-ram,id=m1,size=768M",
		"-numa", "node,nodeid=0,cpus=0-3,memdev=m0", "-numa", "node,nodeid=1,cpus=4-7,memdev=m1",
	}
	if variant.Small {
		cpus = []string{"-smp", "2"}
	}
	return append(append(disk, cpus...),
		"-accel", "tcg,thread=multi,tb-size=512", "-machine", "q35,i8042=off,vmport=off", "-cpu", "max,vendor=GenuineIntel,la57=off,erms=off,fsrm=off",
		"-m", cmp.Or(variant.Memory, "1536M"),
		"-acpitable", "file="+payload.Processors,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:"+console, "-serial", "file:"+result,
		"-blockdev", "driver=null-co,node-name=d0,size=67108864,read-zeroes=on",
		"-blockdev", "driver=null-co,node-name=d1,size=67108864,read-zeroes=on",
		"-device", "virtio-blk-pci,drive=d0,num-queues=8,vectors=9", "-device", "nvme,drive=d1,serial=1,max_ioqpairs=8",
		"-netdev", "user,id=n0,restrict=on", "-device", "virtio-net-pci,netdev=n0,romfile=",
		"-netdev", "user,id=n1,restrict=on", "-device", "e1000e,netdev=n1,romfile=",
		"-kernel", filepath.Join(kernel.Dir, "vmlinuz"), "-initrd", initramfs, "-append", strings.Join(words, " "),
	)
}

// Processors compiles the ACPI table in processors.dsl, and gives the file.
func Processors(dir string) (string, error) {
	base := filepath.Join(dir, "processors")
	cmd := exec.Command("iasl", "-p", base, "processors.dsl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return base + ".aml", nil
}

var errCrashed = errors.New("the emulator was ended")

// silence is for how long a VM may write nothing. With all of its processors asleep for good it never will (qemu 10, once in some
// dozens of boots), and would take all of its column's time; no command of the tests takes a tenth of it.
const silence = 10 * time.Minute

// watchFiles calls stop when none of the files has grown for so long.
func watchFiles(ctx context.Context, silence time.Duration, stop func(), files ...string) {
	size, since := int64(-1), time.Now()
	for {
		now := int64(0)
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				now += info.Size()
			}
		}
		if now != size {
			size, since = now, time.Now()
		}
		if time.Since(since) > silence {
			stop()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(silence / 100):
		}
	}
}

// Boot runs one VM to its end and gives what its tests printed. dir keeps the kernel's console and the tests' output.
func Boot(ctx context.Context, kernel Kernel, variant Variant, payload Payload, limit time.Duration, initramfs, dir string) (output string, err error) {
	console, result := filepath.Join(dir, "console.log"), filepath.Join(dir, "tests.log")
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("ended after %v", limit))
	defer cancel()
	stalled := fmt.Errorf("%w: it has said nothing for %v", errCrashed, silence)
	ctx, stall := context.WithCancelCause(ctx)
	defer stall(nil)
	go watchFiles(ctx, silence, func() { stall(stalled) }, console, result)
	// nice: whoever else measures on this machine goes first.
	args := append([]string{"-n", "19", payload.Emulator}, qemuArgs(kernel, variant, payload, limit, initramfs, console, result)...)
	cmd := exec.CommandContext(ctx, "nice", args...)
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.As(err, &exit) && !exit.Exited(): // nice has become qemu
		err = fmt.Errorf("%w: %w", errCrashed, err)
	}
	if err != nil {
		err = fmt.Errorf("qemu: %w %s", err, strings.TrimSpace(string(said)))
	}
	text, readErr := os.ReadFile(result)
	return strings.ReplaceAll(string(text), "\r", ""), errors.Join(err, readErr)
}
