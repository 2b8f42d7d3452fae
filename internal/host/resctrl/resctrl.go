// Package resctrl reads and sets which ways of the last level of cache (L3) tasks may fill: Documentation/filesystems/resctrl.rst.
package resctrl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// Dir is where the file system is mounted, and the group of all tasks that are in no other.
const Dir = "/sys/fs/resctrl"

// Masks hold a bit for each way, by domain (the id of an L3).
type Masks map[int]uint64

// Facts are what the L3 of a host can be divided into.
type Facts struct {
	// Full has all ways, Shareable those that devices fill too. MinWays is the least that a group may have.
	Full, Shareable uint64
	MinWays         int
	// CLOSIDs is how many groups there can be, with that of all other tasks.
	CLOSIDs int
	// Groups are those that there are, by name, without that of all other tasks.
	Groups map[string]Masks
}

// Read gathers them. The error says why this host's L3 cannot be divided.
func Read(root host.Root) (Facts, error) {
	facts := Facts{Groups: map[string]Masks{}}
	if err := check(root); err != nil {
		return facts, err
	}
	var errs [4]error
	facts.Full, errs[0] = hex(root, "cbm_mask")
	facts.Shareable, errs[1] = hex(root, "shareable_bits")
	facts.MinWays, errs[2] = decimal(root, "min_cbm_bits")
	facts.CLOSIDs, errs[3] = decimal(root, "num_closids")
	names, err := root.Subdirectories(Dir)
	if err = errors.Join(append(errs[:], err)...); err != nil {
		return facts, err
	}
	for _, name := range names {
		if name == "info" || name == "mon_groups" || name == "mon_data" {
			continue
		}
		masks, err := Group(root, name)
		if host.Gone(err) {
			continue
		}
		if err != nil {
			return facts, err
		}
		facts.Groups[name] = masks
	}
	return facts, nil
}

// check says what is missing, from the outside in.
func check(root host.Root) error {
	if _, err := root.List(Dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist: the kernel lacks CONFIG_X86_CPU_RESCTRL (or ARM's MPAM), or the processor cannot do it", Dir)
	} else if err != nil {
		return err
	}
	if _, err := root.Read(Dir, "schemata"); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not mounted: mount -t resctrl resctrl %s", Dir, Dir)
	}
	if _, err := root.Read(Dir, "info/L3CODE/cbm_mask"); err == nil {
		return errors.New("resctrl is mounted with code and data apart (cdp): mount it without")
	}
	if _, err := root.Read(Dir, "info/L3/cbm_mask"); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the processor cannot divide its L3 (no cat_l3 in /proc/cpuinfo)")
	}
	return nil
}

func hex(root host.Root, file string) (uint64, error) {
	text, err := root.Read(Dir, "info/L3", file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(text), 16, 64)
}

func decimal(root host.Root, file string) (int, error) {
	text, err := root.Read(Dir, "info/L3", file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(text))
}

// Group reads the ways of a group; "" is that of all other tasks.
func Group(root host.Root, name string) (Masks, error) {
	text, err := root.Read(Dir, name, "schemata")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if list, found := strings.CutPrefix(strings.TrimSpace(line), "L3:"); found {
			return Parse(list)
		}
	}
	return nil, fmt.Errorf("%s has no line L3", filepath.Join(Dir, name, "schemata"))
}

// Set changes the ways of the group of all other tasks. The kernel says in a file of its own why it refuses.
func Set(root host.Root, masks Masks) error {
	err := root.Write("L3:"+masks.String(), Dir, "schemata")
	if why, readErr := root.Read(Dir, "info/last_cmd_status"); err != nil && readErr == nil {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return err
}

// Has says whether a process is in a group.
func Has(root host.Root, name string, pid int) (bool, error) {
	text, err := root.Read(Dir, name, "tasks")
	return slices.Contains(strings.Fields(text), strconv.Itoa(pid)), err
}

// Parse reads "0=fffff;1=fffff".
func Parse(text string) (Masks, error) {
	masks := Masks{}
	for part := range strings.SplitSeq(text, ";") {
		id, mask, _ := strings.Cut(strings.TrimSpace(part), "=")
		domain, err := strconv.Atoi(id)
		bits, errMask := strconv.ParseUint(mask, 16, 64)
		if err = errors.Join(err, errMask); err != nil {
			return nil, fmt.Errorf("%q are no ways of an L3: %w", text, err)
		}
		masks[domain] = bits
	}
	return masks, nil
}

// String gives the form that Parse reads.
func (m Masks) String() string {
	var parts []string
	for _, domain := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d=%x", domain, m[domain]))
	}
	return strings.Join(parts, ";")
}

// Domains gives the L3 that each CPU has.
func Domains(root host.Root, cpus cpuset.CPUSet) (map[int]int, error) {
	domains := map[int]int{}
	for _, cpu := range cpus.List() {
		for _, index := range []string{"index3", "index2", "index4"} {
			dir := filepath.Join("sys/devices/system/cpu", "cpu"+strconv.Itoa(cpu), "cache", index)
			if level, err := root.Read(dir, "level"); err != nil || level != "3" {
				continue
			}
			text, err := root.Read(dir, "id")
			if err != nil {
				return nil, err
			}
			if domains[cpu], err = strconv.Atoi(text); err != nil {
				return nil, err
			}
			break
		}
	}
	return domains, nil
}
