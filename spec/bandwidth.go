package spec

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

// cpuMaxBurst is what cgroup v2 calls a burst.
const cpuMaxBurst = "cpu.max.burst"

// quotas are all places of config.json that bound the CPU time of ordinary threads. On cgroup v2 unified counts.
var quotas = []string{
	"linux.resources.cpu.quota", "linux.resources.cpu.period", "linux.resources.cpu.burst",
	`linux.resources.unified.cpu\.max`, `linux.resources.unified.cpu\.max\.burst`,
}

// Limit edits the document of an ordinary container: a bound on its CPU time. A period or burst that the engine wrote means
// nothing without a quota.
func (d *Document) Limit(share shield.Share) error {
	if err := d.unambiguous(); err != nil {
		return err
	}
	if err := d.ensure("{}", "linux", "linux.resources", "linux.resources.cpu"); err != nil {
		return err
	}
	for _, path := range quotas {
		if err := d.remove(path); err != nil {
			return err
		}
	}
	return d.limit(share)
}

// limit writes the share that a container asked for, if it did.
func (d *Document) limit(share shield.Share) error {
	if !share.Limited() {
		return nil
	}
	steps := []func() error{
		func() error { return d.set("linux.resources.cpu.quota", share.Quota) },
		func() error { return d.set("linux.resources.cpu.period", share.Period) },
	}
	if share.Burst > 0 {
		steps = append(steps, func() error { return d.set("linux.resources.cpu.burst", share.Burst) })
	}
	return run(steps)
}

// quota gives the bound that the engine wrote: 0 for nothing said, -1 for none.
func quota(resources gjson.Result) (quota, period int64) {
	quota, period = resources.Get("cpu.quota").Int(), resources.Get("cpu.period").Int()
	if most := resources.Get(`unified.cpu\.max`); most.Exists() {
		return readMax(most.String())
	}
	return quota, period
}

// readMax reads cpu.max, "max 100000" or "50000 100000". What cannot be read says nothing: the delegate will.
func readMax(text string) (quota, period int64) {
	fields := strings.Fields(text)
	if len(fields) > 1 {
		period, _ = strconv.ParseInt(fields[1], 10, 64)
	}
	if len(fields) == 0 {
		return 0, 0
	}
	if fields[0] == "max" {
		return -1, period
	}
	quota, _ = strconv.ParseInt(fields[0], 10, 64)
	return quota, period
}

// SetShare makes an update say of the CPU time what a container has.
func (r *Resources) SetShare(share shield.Share) {
	delete(r.unified, cpuMax)
	delete(r.unified, cpuMaxBurst)
	for name, value := range map[string]int64{"quota": share.Quota, "period": share.Period, "burst": share.Burst} {
		delete(r.cpu, name)
		if value > 0 {
			r.cpu[name] = encode(value)
		}
	}
}

// DropBurst makes an update take a burst away, which may be more than its quota.
func (r *Resources) DropBurst() {
	if _, given := r.unified[cpuMaxBurst]; !given {
		r.cpu["burst"] = encode(0)
	}
}
