// Package noise finds the files that say on which CPUs the kernel does its own work: unbound workqueues, the watchdog,
// and the spreading of network packets.
package noise

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

const workqueues = "/sys/devices/virtual/workqueue"

// Masks lists the files in the mask format that this host has: the mask of all unbound workqueues, that of each one that
// shows its own (WQ_SYSFS), and receive and transmit packet steering of every network queue.
func Masks(root host.Root) ([]string, error) {
	files := existing(root, nil, workqueues+"/cpumask")
	names, err := list(root, workqueues)
	for _, queue := range names {
		files = existing(root, files, workqueues+"/"+queue+"/cpumask")
	}
	const devices = "/sys/class/net/"
	names, errDevices := list(root, devices)
	err = errors.Join(err, errDevices)
	for _, device := range names {
		queues := devices + device + "/queues/"
		names, errQueues := list(root, queues)
		err = errors.Join(err, errQueues)
		for _, queue := range names {
			switch {
			case strings.HasPrefix(queue, "rx-"):
				files = append(files, queues+queue+"/rps_cpus")
			case strings.HasPrefix(queue, "tx-"):
				files = append(files, queues+queue+"/xps_cpus")
			}
		}
	}
	return files, err
}

// list gives a directory's names in order, none where there is no directory.
func list(root host.Root, dir string) ([]string, error) {
	names, err := root.List(dir)
	slices.Sort(names)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // cpumask stands beside the queues
		err = nil
	}
	return names, err
}

// existing leaves out what is not there, and nothing else: of a file that is, reading tells more.
func existing(root host.Root, files []string, file string) []string {
	if err := unix.Access(root.Path(file), unix.F_OK); err != unix.ENOENT && err != unix.ENOTDIR {
		files = append(files, file)
	}
	return files
}

// Lists lists the files in the list format: the CPUs that the soft lockup watchdog looks after.
func Lists(root host.Root) []string {
	const watchdog = "/proc/sys/kernel/watchdog_cpumask"
	return existing(root, nil, watchdog)
}

// ReadMask gives what was last asked of a file. For the mask of all unbound workqueues that is cpumask_requested
// (Linux 6.8): cpumask itself shows it less the isolated CPUs, also those that others isolated.
func ReadMask(root host.Root, file string) (cpuset.CPUSet, error) {
	if file == workqueues+"/cpumask" {
		if cpus, err := root.ReadMask(file + "_requested"); !errors.Is(err, fs.ErrNotExist) {
			return cpus, err
		}
	}
	return root.ReadMask(file)
}

// WriteMask writes a file in the mask format.
func WriteMask(root host.Root, file string, cpus cpuset.CPUSet) error {
	return root.Write(host.FormatMask(cpus), file)
}
