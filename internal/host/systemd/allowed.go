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

// AllowCPUs sets it until the next boot. systemd keeps it in DropIn, so that it holds through daemon-reload, but for a unit
// that the administrator gave CPUs of its own (firm): drop-ins of all folders count in the order of their names, and theirs
// may come later. There a second one comes last. Resetting it does not widen cpuset.cpus (systemd issue 43846): that is for
// the caller.
func AllowCPUs(root host.Root, unit string, cpus cpuset.CPUSet, firm bool) error {
	if _, err := Control("set-property", "--runtime", unit, "AllowedCPUs="+cpus.String()); err != nil {
		return err
	}
	last := root.Path(controlDir, unit+".d", lastDropIn)
	if !firm {
		return removeFile(last)
	}
	section := map[string]string{".slice": "[Slice]", ".scope": "[Scope]"}[filepath.Ext(unit)]
	return errors.Join(
		os.MkdirAll(filepath.Dir(last), 0o755),
		os.WriteFile(last, []byte(section+"\n# By rtshield, goes with the last container.\nAllowedCPUs=\nAllowedCPUs="+cpus.String()+"\n"), 0o644))
}

// Where systemd keeps what set-property --runtime sets: of units with a file, and of those that it made itself, such as
// init.scope.
const (
	controlDir   = "/run/systemd/system.control"
	transientDir = "/run/systemd/transient"
	dropIn       = "50-AllowedCPUs.conf"
	lastDropIn   = "zz-rtshield.conf"
)

// DropIn gives the text of the file in which systemd keeps what AllowCPUs set.
func DropIn(root host.Root, unit string) (text string, found bool) {
	for _, dir := range []string{controlDir, transientDir} {
		if data, err := os.ReadFile(root.Path(dir, unit+".d", dropIn)); err == nil {
			return string(data), true
		}
	}
	return "", false
}

// RemoveDropIn takes our files away, with the folders that held nothing else; keep leaves the one that DropIn gives. It does
// not ask systemd to read its files again: AllowCPUs has already set what they say without ours.
func RemoveDropIn(root host.Root, unit string, keep bool) error {
	for _, dir := range []string{controlDir, transientDir} {
		folder := root.Path(dir, unit+".d")
		err := removeFile(filepath.Join(folder, lastDropIn))
		if !keep {
			err = errors.Join(err, removeFile(filepath.Join(folder, dropIn)))
		}
		if err != nil {
			return err
		}
		_ = os.Remove(folder) // not, if something else is in it
	}
	return nil
}

func removeFile(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
