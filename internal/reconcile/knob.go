package reconcile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/hugepages"
	"github.com/rtshield/rtshield/internal/host/irq"
	"github.com/rtshield/rtshield/internal/host/irqbalance"
	"github.com/rtshield/rtshield/internal/host/noise"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/host/resctrl"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/host/systemd"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// KnobPath gives the file that a knob is, for people.
func KnobPath(knob shield.Knob) string {
	switch knob.Kind {
	case shield.IRQ:
		return "/proc/irq/" + knob.Name + "/smp_affinity_list"
	case shield.IRQDefault:
		return "/proc/irq/default_smp_affinity"
	case shield.Cpuset:
		return knob.Name + "/cpuset.cpus"
	case shield.RTBudget:
		return knob.Name + "/cpu.rt_runtime_us"
	case shield.Exclusive:
		return knob.Name + "/cpuset.cpus.exclusive"
	case shield.Partition:
		return knob.Name + "/cpuset.cpus.partition"
	case shield.Thread:
		return "affinity of thread " + threadID(knob)
	case shield.AllowedCPUs:
		return "AllowedCPUs of " + knob.Name
	case shield.Irqbalance:
		return "what irqbalance leaves out (" + knob.Name + ")"
	case shield.IrqbalanceAlone:
		return "interrupts that irqbalance leaves alone (" + knob.Name + ")"
	case shield.L3Ways:
		return resctrl.Dir + "/schemata"
	case shield.HugePagePool:
		node, size := pool(knob)
		return hugepages.Dir(host.System, node, size) + "/nr_hugepages"
	}
	if file := powerFile(knob); file != "" {
		return file
	}
	return knob.Name
}

// errNoAnswer: an interrupt that was there shows no affinity now. It is not gone.
var errNoAnswer = errors.New("it cannot be read now")

func threadKnob(tid int, stat task.Stat) shield.Knob {
	return shield.Knob{Kind: shield.Thread, Name: strconv.Itoa(tid) + ":" + strconv.FormatUint(stat.Start, 10)}
}

func threadID(knob shield.Knob) string {
	tid, _, _ := strings.Cut(knob.Name, ":")
	return tid
}

// exchange writes a knob, and gives what it says then where that comes with the writing, else "".
func exchange(root host.Root, setting shield.Setting, deadline time.Time) (now string, err error) {
	if setting.Kind != shield.IRQ {
		return "", set(root, setting, deadline)
	}
	number, err := strconv.Atoi(setting.Name)
	if err != nil {
		return "", err
	}
	return irq.SetAffinity(root, number, setting.Want)
}

func set(root host.Root, setting shield.Setting, deadline time.Time) error {
	switch setting.Kind {
	case shield.RTBudget:
		runtime, err := strconv.ParseInt(setting.Want, 10, 64)
		if err != nil {
			return err
		}
		return patiently(deadline, func() error { return rt.SetRuntime(root, setting.Name, runtime) })
	case shield.Partition:
		// On Linux 6.12, the type written once more to a partition that has become invalid takes it its CPUs, which then are
		// lost to the whole host until the next boot (seen in VMs, not on 7.2). A member gives everything back.
		if invalid(setting.Now) {
			if err := hostcpuset.SetPartitionType(root, setting.Name, shield.Member); err != nil {
				return err
			}
		}
		return hostcpuset.SetPartitionType(root, setting.Name, setting.Want)
	case shield.FairServer:
		if setting.Want != setting.Baseline {
			return power.Write(root, powerFile(setting.Knob), setting.Want)
		}
		// Bandwidth that a task of class deadline has just left is free only a period later (EBUSY).
		return patiently(deadline, func() error { return power.Write(root, powerFile(setting.Knob), setting.Want) })
	case shield.WakeLatency, shield.Governor, shield.MinFreq, shield.Preference:
		return power.Write(root, powerFile(setting.Knob), setting.Want)
	case shield.HugePagePool:
		return patiently(deadline, func() error { return setPages(root, setting) })
	case shield.L3Ways:
		masks, err := resctrl.Parse(setting.Want)
		if err != nil {
			return err
		}
		return resctrl.Set(root, masks)
	}
	cpus, err := cpuset.Parse(setting.Want)
	if err != nil {
		return err
	}
	switch setting.Kind {
	case shield.IRQDefault:
		return irq.SetDefault(root, cpus)
	case shield.Cpuset:
		return hostcpuset.SetCPUs(root, setting.Name, cpus)
	case shield.Exclusive:
		return hostcpuset.SetExclusive(root, setting.Name, cpus)
	case shield.Mask:
		return noise.WriteMask(root, setting.Name, cpus)
	case shield.AllowedCPUs:
		return systemd.AllowCPUs(root, setting.Name, cpus, setting.Baseline != "" && setting.Want != setting.Baseline)
	case shield.Irqbalance:
		return irqbalance.Ban(root, setting.Name, cpus)
	case shield.IrqbalanceAlone:
		return irqbalance.LeaveAlone(root, setting.Name, cpus)
	case shield.List:
		return root.Write(cpus.String(), setting.Name)
	case shield.Thread:
		tid, err := strconv.Atoi(threadID(setting.Knob))
		if err != nil {
			return err
		}
		return setAffinity(tid, setting, cpus)
	}
	return fmt.Errorf("unknown knob %s", setting.Knob)
}

// setAffinity tells a thread of the root to stay off a partition that it was not told of: born while the partition was made,
// it has what its parent had (cpuset_fork leaves the root's alone). Told that again, it gets it less the partition, and with
// the partition's end the kernel gives it all back, also to its children, which would keep a shorter list for good.
func setAffinity(tid int, setting shield.Setting, cpus cpuset.CPUSet) error {
	if setting.Clipped {
		had, err := cpuset.Parse(setting.Baseline)
		if err == nil {
			err = task.SetAffinity(tid, had)
		}
		if now, readErr := task.Affinity(tid); err == nil && readErr == nil && now.Equals(cpus) {
			return nil
		}
	}
	return task.SetAffinity(tid, cpus)
}

func read(root host.Root, knob shield.Knob) (string, error) {
	var cpus cpuset.CPUSet
	var err error
	switch knob.Kind {
	case shield.IRQ:
		number, _ := strconv.Atoi(knob.Name)
		list, _, err := irq.Affinity(root, number)
		if gone(err) && irq.Exists(root, number) {
			err = errNoAnswer
		}
		return list, err
	case shield.IRQDefault:
		cpus, err = irq.Default(root)
	case shield.Cpuset:
		cpus, err = hostcpuset.CPUs(root, knob.Name)
	case shield.Exclusive:
		cpus, err = hostcpuset.Exclusive(root, knob.Name)
	case shield.Mask:
		cpus, err = noise.ReadMask(root, knob.Name)
	case shield.AllowedCPUs:
		var units map[string]cpuset.CPUSet
		units, err = systemd.AllowedCPUs([]string{knob.Name})
		cpus = units[knob.Name]
	case shield.Irqbalance, shield.IrqbalanceAlone:
		var state irqbalance.Status
		state, err = irqbalance.Read(root, knob.Name)
		if cpus = state.Banned; knob.Kind == shield.IrqbalanceAlone {
			cpus = state.Alone
		}
	case shield.List:
		cpus, err = root.ReadList(knob.Name)
	case shield.Thread:
		tid, _ := strconv.Atoi(threadID(knob))
		cpus, err = task.Affinity(tid)
	case shield.Partition:
		return hostcpuset.PartitionType(root, knob.Name)
	case shield.RTBudget:
		runtime, _, err := rt.Budget(root, knob.Name)
		return strconv.FormatInt(runtime, 10), err
	case shield.L3Ways:
		masks, err := resctrl.Group(root, "")
		return masks.String(), err
	case shield.HugePagePool:
		node, size := pool(knob)
		pages, err := hugepages.Reserved(root, node, size)
		return strconv.FormatInt(pages, 10), err
	case shield.WakeLatency, shield.FairServer, shield.Governor, shield.MinFreq, shield.Preference:
		return root.Read(powerFile(knob))
	}
	return cpus.String(), err
}
