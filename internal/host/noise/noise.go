// Package noise finds the files that say on which CPUs the kernel does its own work: unbound workqueues, the watchdog,
// and the spreading of network packets.
package noise

import (
	"os"
	"path/filepath"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

const workqueues = "/sys/devices/virtual/workqueue"

// Masks lists the files in the mask format that this host has: the mask of all unbound workqueues, that of each one that
// shows its own (WQ_SYSFS), and receive and transmit packet steering of every network queue.
func Masks(root host.Root) []string {
	var files []string
	for _, pattern := range []string{
		workqueues + "/cpumask", workqueues + "/*/cpumask",
		"/sys/class/net/*/queues/rx-*/rps_cpus", "/sys/class/net/*/queues/tx-*/xps_cpus",
	} {
		found, _ := filepath.Glob(root.Path(pattern)) // the only error is a bad pattern
		for _, file := range found {
			relative, err := filepath.Rel(root.Path("/"), file)
			if err == nil {
				files = append(files, "/"+relative)
			}
		}
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
