// Package noise finds the files that say on which CPUs the kernel does its own work: unbound workqueues, the watchdog,
// and the spreading of network packets.
package noise

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

const workqueues = "/sys/devices/virtual/workqueue"

// Masks lists the files in the mask format that this host has: the mask of all unbound workqueues, that of each one that
// shows its own (WQ_SYSFS), and receive and transmit packet steering of every network queue.
func Masks(root host.Root) []string {
	files := existing(root, nil, workqueues+"/cpumask")
	for _, queue := range list(root, workqueues) {
		files = existing(root, files, workqueues+"/"+queue+"/cpumask")
	}
	const devices = "/sys/class/net/"
	for _, device := range list(root, devices) {
		queues := devices + device + "/queues/"
		for _, queue := range list(root, queues) {
			switch {
			case strings.HasPrefix(queue, "rx-"):
				files = existing(root, files, queues+queue+"/rps_cpus")
			case strings.HasPrefix(queue, "tx-"):
				files = existing(root, files, queues+queue+"/xps_cpus")
			}
		}
	}
	return files
}

// list gives a directory's names in order, none where there is no directory.
func list(root host.Root, dir string) []string {
	names, _ := root.List(dir)
	slices.Sort(names)
	return names
}

func existing(root host.Root, files []string, file string) []string {
	if unix.Access(root.Path(file), unix.F_OK) == nil {
		files = append(files, file)
	}
	return files
}

// Lists lists the files in the list format: the CPUs that the soft lockup watchdog looks after.
func Lists(root host.Root) []string {
	const watchdog = "/proc/sys/kernel/watchdog_cpumask"
	if _, err := os.Stat(root.Path(watchdog)); err != nil {
		return nil
	}
	return []string{watchdog}
}

// ReadMask gives what was last asked of a file. For the mask of all unbound workqueues that is cpumask_requested
// (Linux 6.8): cpumask itself shows it less the isolated CPUs, also those that others isolated.
func ReadMask(root host.Root, file string) (cpuset.CPUSet, error) {
	if file == workqueues+"/cpumask" {
		if cpus, err := root.ReadMask(file + "_requested"); err == nil {
			return cpus, nil
		}
	}
	return root.ReadMask(file)
}

// WriteMask writes a file in the mask format.
func WriteMask(root host.Root, file string, cpus cpuset.CPUSet) error {
	return root.Write(host.FormatMask(cpus), file)
}
