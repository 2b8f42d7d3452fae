// Package irq reads and sets where device interrupts may arrive, below /proc/irq.
package irq

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// ErrManaged: the kernel owns this interrupt's affinity (a queue of a multi-queue device). Writes fail with EIO before
// Linux 6.12 and with EPERM since, where smp_affinity_list is mode 0444. Only the boot option isolcpus=managed_irq
// keeps it away from a CPU.
var ErrManaged = errors.New("managed by the kernel")

// ErrNoVector: the other CPUs have no interrupt vector left (ENOSPC).
var ErrNoVector = errors.New("no free interrupt vector on the other CPUs")

// Numbers lists the device interrupts in order. Per-CPU ones (timer, IPIs) are not among them: they have no affinity.
func Numbers(root host.Root) ([]int, error) {
	names, err := root.List("proc/irq")
	if err != nil {
		return nil, err
	}
	numbers := make([]int, 0, len(names))
	for _, name := range names {
		if number, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, number)
		}
	}
	sort.Ints(numbers)
	return numbers, nil
}

// Affinity gives the CPUs that an interrupt may be sent to, as the kernel's list. fixed: the file is read-only, which
// since Linux 6.12 marks one that the kernel manages; before, only trying tells. An interrupt that went away meanwhile, or
// that has no affinity (per-CPU), gives fs.ErrNotExist.
func Affinity(root host.Root, number int) (list string, fixed bool, err error) {
	list, mode, err := root.ReadMode("proc/irq", strconv.Itoa(number), "smp_affinity_list")
	return list, mode&0o222 == 0, perCPU(err)
}

// perCPU: such interrupts of some architectures have the file but no answer.
func perCPU(err error) error {
	var at *fs.PathError
	if errors.Is(err, unix.EIO) && errors.As(err, &at) && at.Op == "read" {
		return fs.ErrNotExist
	}
	return err
}

// Exists says whether an interrupt still has a directory.
func Exists(root host.Root, number int) bool {
	_, err := root.List("proc/irq", strconv.Itoa(number))
	return !host.Gone(err)
}

// Node gives the node that an interrupt's device is next to, -1 for a device without one.
func Node(root host.Root, number int) (int, error) {
	text, err := root.Read("proc/irq", strconv.Itoa(number), "node")
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(text)
}

// Near gives the CPUs of that node, which is where the kernel starts the interrupt; none for a device without one.
func Near(root host.Root, number int) (cpuset.CPUSet, error) {
	node, err := Node(root, number)
	if err != nil || node < 0 {
		return cpuset.New(), err
	}
	return root.ReadList("sys/devices/system/node/node"+strconv.Itoa(node), "cpulist")
}

// Effective gives the CPUs that an interrupt is sent to at present. On x86 without interrupt remapping a new affinity
// takes effect with the next interrupt, so Effective may lag behind Affinity. Needs
// CONFIG_GENERIC_IRQ_EFFECTIVE_AFF_MASK, else fs.ErrNotExist.
func Effective(root host.Root, number int) (cpuset.CPUSet, error) {
	text, err := root.Read("proc/irq", strconv.Itoa(number), "effective_affinity_list")
	if err != nil {
		return cpuset.CPUSet{}, perCPU(err)
	}
	return cpuset.Parse(text)
}

// SetAffinity sends an interrupt to the CPUs of a list from now on, and gives what the kernel says it has, "" where it does not
// say. Errors wrap ErrManaged or ErrNoVector where that is the cause.
func SetAffinity(root host.Root, number int, list string) (now string, err error) {
	now, err = root.Exchange(list, "proc/irq", strconv.Itoa(number), "smp_affinity_list")
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EIO), errors.Is(err, unix.EACCES):
		return now, fmt.Errorf("%w: %w", ErrManaged, err)
	case errors.Is(err, unix.ENOSPC):
		return now, fmt.Errorf("%w: %w", ErrNoVector, err)
	}
	return now, err
}

// Default gives the CPUs that interrupts allocated from now on get (default_smp_affinity).
func Default(root host.Root) (cpuset.CPUSet, error) {
	text, err := root.Read("proc/irq/default_smp_affinity")
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return host.ParseMask(text)
}

// SetDefault writes it. The kernel offers no list form of this file, only the mask.
func SetDefault(root host.Root, cpus cpuset.CPUSet) error {
	return root.Write(host.FormatMask(cpus), "proc/irq/default_smp_affinity")
}

// Name gives what /proc/interrupts shows at the end of the line: the handlers' names, or "" for an interrupt without
// a handler.
func Name(root host.Root, number int) string {
	name, err := root.Read("sys/kernel/irq", strconv.Itoa(number), "actions")
	if err != nil || name == "" || name == "(null)" {
		return ""
	}
	return name
}
