package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNoDevice: there is none of this name, or it is none that is anywhere (a bridge, one end of a veth).
var ErrNoDevice = errors.New("this host has no such device")

// NetdevNode gives the NUMA node that a network device is on, -1 where the firmware does not tell. A device that was moved
// into a container's network namespace is not found by its name.
func (r Root) NetdevNode(name string) (int, error) {
	return r.deviceNode("sys/class/net", name, "device")
}

// PCINode is NetdevNode for a PCI address such as 0000:3b:00.0.
func (r Root) PCINode(address string) (int, error) {
	return r.deviceNode("sys/bus/pci/devices", address)
}

// deviceNode walks up from a device to the first above it that knows its node: a virtio device does not, its PCI device does.
func (r Root) deviceNode(parts ...string) (int, error) {
	dir, err := filepath.EvalSymlinks(r.Path(parts...))
	if errors.Is(err, fs.ErrNotExist) {
		return -1, ErrNoDevice
	}
	if err != nil {
		return -1, err
	}
	for top := r.Path("sys/devices"); strings.HasPrefix(dir, top+"/"); dir = filepath.Dir(dir) {
		text, err := Root("").Read(dir, "numa_node")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return -1, err
		}
		node, err := strconv.Atoi(text)
		if err != nil {
			return -1, fmt.Errorf("%s/numa_node: %w", dir, err)
		}
		return node, nil
	}
	return -1, nil
}
