package irq

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
)

// Names gives what people call each device interrupt: its handlers, as /proc/interrupts shows them, and its device by
// PCI address and by what the device is to the system, such as eth1 or nvme0. An interrupt without a handler is left out.
func Names(root host.Root) (map[int][]string, error) {
	numbers, err := Numbers(root)
	if err != nil {
		return nil, err
	}
	names := map[int][]string{}
	for _, number := range numbers {
		if handlers := Name(root, number); handlers != "" {
			names[number] = strings.Split(handlers, ",")
		}
	}
	devices, _ := filepath.Glob(root.Path("sys/bus/pci/devices/*")) // the only error is a bad pattern
	for _, device := range devices {
		vectors, _ := filepath.Glob(device + "/msi_irqs/*")
		if len(vectors) == 0 {
			continue
		}
		called := deviceNames(device)
		for _, vector := range vectors {
			number, err := strconv.Atoi(filepath.Base(vector))
			if handlers, used := names[number]; err == nil && used {
				names[number] = append(handlers, called...)
			}
		}
	}
	return names, nil
}

// deviceNames gives a PCI device's address, and its network, NVMe and block devices.
func deviceNames(device string) []string {
	called := []string{filepath.Base(device)}
	for _, below := range []string{"/net/*", "/virtio*/net/*", "/nvme/*", "/virtio*/block/*"} {
		found, _ := filepath.Glob(device + below)
		for _, name := range found {
			called = append(called, filepath.Base(name))
		}
	}
	return called
}
