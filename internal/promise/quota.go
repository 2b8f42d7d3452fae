package promise

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/bandwidth"
	"github.com/rtshield/rtshield/internal/shield"
)

// Quota reads the bound on the CPU time of a container's ordinary threads, and in how many periods it held them up, "" for none. ok
// is false where the kernel has no such bound.
func Quota(root host.Root, pid int, grant shield.Grant) (reading Reading, throttled string, ok bool) {
	place, found, err := root.Controller(pid, "cpu")
	if err != nil || !found {
		return Reading{}, "", false
	}
	dir, file := place.Dir, "cpu.cfs_quota_us"
	if grant.Cgroups.CPU != "" { // wherever the process is by now
		dir = grant.Cgroups.CPU
	}
	if place.Unified {
		file = "cpu.max"
	}
	if _, err := root.Read(dir, file); errors.Is(err, fs.ErrNotExist) {
		return Reading{}, "", false
	}
	limit, err := bandwidth.Read(root, dir)
	reading = Reading{
		Where: file + " of " + dir, File: filepath.Join(dir, file), Now: shield.Share(limit).String(), Want: grant.Share.String(), Err: err,
	}
	counters, _ := root.Read(dir, "cpu.stat")
	for line := range strings.Lines(counters) {
		if count, found := strings.CutPrefix(strings.TrimSpace(line), "nr_throttled "); found && count != "0" {
			throttled = count
		}
	}
	return reading, throttled, true
}

// SetQuota gives a container's ordinary threads the bound that they were promised, or none, where Quota has read another.
func SetQuota(root host.Root, quota Reading, grant shield.Grant) error {
	return bandwidth.Set(root, filepath.Dir(quota.File), bandwidth.Limit(grant.Share))
}
