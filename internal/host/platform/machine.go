package platform

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
)

// Hypervisor says whether this is a virtual machine, and what its firmware calls it, "" where that says nothing.
func Hypervisor(root host.Root) (name string, virtual bool) {
	maker, _ := root.Read("sys/class/dmi/id/sys_vendor")
	product, _ := root.Read("sys/class/dmi/id/product_name")
	name = strings.TrimSpace(maker + " " + product)
	if kind, err := root.Read("sys/hypervisor/type"); err == nil && kind != "" {
		return kind, true
	}
	if compatible, err := root.Read("proc/device-tree/hypervisor/compatible"); err == nil { // arm64
		return strings.Trim(compatible, "\x00"), true
	}
	known := slices.ContainsFunc(makers, func(maker string) bool { return strings.Contains(name, maker) })
	return name, known || hasFlag(root, "hypervisor")
}

// makers are words that the firmware of virtual machines has in its names. Where CPUs do not tell (arm64) nothing else does.
var makers = []string{"QEMU", "KVM", "VMware", "VirtualBox", "Xen", "Virtual Machine", "OpenStack", "Google Compute Engine", "Parallels"}

// hasFlag: x86 lists what a CPU has in /proc/cpuinfo.
func hasFlag(root host.Root, wanted string) bool {
	text, _ := root.Read("proc/cpuinfo")
	for line := range strings.Lines(text) {
		name, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		for flag := range strings.FieldsSeq(flags) {
			if flag == wanted {
				return true
			}
		}
		return false
	}
	return false
}

// ErrNoSMIs: nothing here counts system management interrupts. Intel's processors do.
var ErrNoSMIs = errors.New("this processor does not count system management interrupts")

// MSRs is the file of a CPU's model specific registers (module msr).
func MSRs(cpu int) string { return "/dev/cpu/" + strconv.Itoa(cpu) + "/msr" }

// SMIs counts the system management interrupts of a CPU since its reset (MSR_SMI_COUNT of Intel's since Nehalem).
func SMIs(root host.Root, cpu int) (uint32, error) {
	text, _ := root.Read("proc/cpuinfo")
	if !strings.Contains(text, "GenuineIntel") {
		return 0, ErrNoSMIs
	}
	file, err := os.Open(root.Path(MSRs(cpu)))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	const smiCount = 0x34
	buffer := make([]byte, 8)
	if _, err := file.ReadAt(buffer, smiCount); err != nil {
		if errors.Is(err, unix.EIO) {
			err = ErrNoSMIs
		}
		return 0, err
	}
	return binary.LittleEndian.Uint32(buffer), nil
}

const clocksource = "/sys/devices/system/clocksource/clocksource0"

// ClockFile sets the clock that the kernel tells time with.
const ClockFile = clocksource + "/current_clocksource"

// Clocks gives that clock, and those that it could be.
func Clocks(root host.Root) (now string, available []string, err error) {
	if now, err = root.Read(ClockFile); err != nil {
		return "", nil, err
	}
	text, err := root.Read(clocksource, "available_clocksource")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return now, strings.Fields(text), err
}
