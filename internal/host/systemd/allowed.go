package systemd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// AllowedCPUs gives that property of units, by their names: the CPUs that systemd writes into cpuset.cpus of their cgroups
// at daemon-reload and when it starts something there. Empty is all that the unit's slice has. A unit that systemd has not
// active is left out: somebody else made a cgroup of that name.
func AllowedCPUs(units []string) (map[string]cpuset.CPUSet, error) {
	if len(units) == 0 {
		return nil, nil
	}
	out, err := Control(append([]string{"show", "--property=Id,ActiveState,AllowedCPUs", "--"}, units...)...)
	if err != nil {
		return nil, err
	}
	allowed := map[string]cpuset.CPUSet{}
	for block := range strings.SplitSeq(out, "\n\n") {
		values := map[string]string{}
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = value
		}
		if values["ActiveState"] != "active" {
			continue
		}
		// "0-3 5": systemd separates with blanks.
		cpus, err := cpuset.Parse(strings.Join(strings.Fields(values["AllowedCPUs"]), ","))
		if err != nil {
			return nil, err
		}
		allowed[values["Id"]] = cpus
	}
	return allowed, nil
}

// AllowCPUs sets it until the next boot, at once and through daemon-reload. systemd keeps it in DropIn. Resetting it does
// not widen cpuset.cpus (systemd issue 43846): that is for the caller.
func AllowCPUs(unit string, cpus cpuset.CPUSet) error {
	_, err := Control("set-property", "--runtime", unit, "AllowedCPUs="+cpus.String())
	return err
}

const control = "/run/systemd/system.control"

func dropInPath(root host.Root, unit string) string {
	return root.Path(control, unit+".d", "50-AllowedCPUs.conf")
}

// DropIn gives the text of the file in which systemd keeps what AllowCPUs set.
func DropIn(root host.Root, unit string) (text string, found bool) {
	data, err := os.ReadFile(dropInPath(root, unit))
	return string(data), err == nil
}

// RemoveDropIn takes the file away, with the folders that held nothing else. It does not ask systemd to read its files
// again: AllowCPUs has already set what they say without it.
func RemoveDropIn(root host.Root, unit string) error {
	file := dropInPath(root, unit)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range []string{filepath.Dir(file), root.Path(control)} {
		_ = os.Remove(dir) // not, if something else is in it
	}
	return nil
}
