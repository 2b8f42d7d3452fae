package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

// Hook says how our hooks are entered into config.json.
type Hook struct {
	// Program is the absolute path of rtshield.
	Program string
	// State is the ledger's directory. The hooks carry it, so that they never depend on the policy file.
	State string
	// Root is the delegate's state root.
	Root string
	// Poststart says whether the delegate runs poststart hooks once the container's program runs, and not before.
	Poststart bool
}

// hookEnv is the environment of our hooks: they get nothing from the engine or the image. A hook does one thing after
// another and ends; Go's threads for more would cost it a third of its start.
var hookEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1", "GOGC=off"}

type hookEntry struct {
	Path    string   `json:"path"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Timeout int      `json:"timeout"`
}

func (h Hook) entry(when string) hookEntry {
	return hookEntry{
		Path: h.Program, Args: []string{"rtshield", "hook", when, "--state", h.State, "--root", h.Root},
		Env: hookEnv, Timeout: shield.HookTimeout,
	}
}

// Rlimit is a limit to set, by its name in the specification.
type Rlimit struct {
	Type string `json:"type"`
	Hard uint64 `json:"hard"`
	Soft uint64 `json:"soft"`
}

// Same is a limit whose hard and soft value are one.
func Same(name string, value uint64) Rlimit { return Rlimit{Type: name, Hard: value, Soft: value} }

// Shield edits the document for a grant: the CPUs and memory nodes, no quota on them but its own, the rlimits, what the
// container sees in its environment, and the hooks that do the rest.
//
// process.scheduler goes: it would make every exec real-time too, and runc before 1.2.0 ignores it without a word. The
// createRuntime hook sets the policy. So does realtimeRuntime: runc writes it before that hook could fund the cgroups
// above.
func (d *Document) Shield(grant shield.Grant, rlimits []Rlimit, hook Hook) error {
	if err := d.unambiguous(); err != nil {
		return err
	}
	steps := []func() error{
		func() error {
			return d.ensure("{}", "linux", "linux.resources", "linux.resources.cpu", "process", "hooks")
		},
	}
	lifted := append(slices.Clone(quotas), "linux.resources.cpu.realtimeRuntime", "linux.resources.cpu.realtimePeriod",
		"linux.resources."+unifiedCPUs, "linux.resources."+unifiedMems, "process.scheduler")
	if grant.Pinned { // without a cpuset controller the delegate would fail
		lifted = append(lifted, "linux.resources.cpu.cpus", "linux.resources.cpu.mems")
	} else {
		steps = append(steps,
			func() error { return d.set("linux.resources.cpu.cpus", grant.Cpuset().String()) },
			func() error { return d.set("linux.resources.cpu.mems", grant.Mems.String()) })
	}
	if !grant.ExecCPUs.IsEmpty() { // also for an exec that does not come through us
		steps = append(steps, func() error { return d.set("process.execCPUAffinity", affinity(grant)) })
	}
	switch grant.Memory.Swap {
	case "memory.swap.max":
		steps = append(steps, func() error { return d.ensure("{}", "linux.resources.unified") },
			func() error { return d.set(`linux.resources.unified.memory\.swap\.max`, "0") })
	case "memory.swappiness":
		steps = append(steps, func() error { return d.ensure("{}", "linux.resources.memory") },
			func() error { return d.set("linux.resources.memory.swappiness", 0) })
	}
	if len(grant.Ways) > 0 {
		steps = append(steps, func() error {
			return d.set("linux.intelRdt", map[string]string{"l3CacheSchema": "L3:" + grant.Ways.String()})
		})
	}
	if grant.Memory.Policy == shield.Bind && !gjson.GetBytes(d.data, "linux.memoryPolicy").Exists() {
		steps = append(steps, func() error {
			return d.set("linux.memoryPolicy", map[string]string{"mode": "MPOL_BIND", "nodes": grant.Mems.String()})
		})
	}
	for _, path := range lifted {
		steps = append(steps, func() error { return d.remove(path) })
	}
	steps = append(steps, func() error { return d.limit(grant.Share) })
	for _, rlimit := range rlimits {
		steps = append(steps, func() error { return d.rlimit(rlimit) })
	}
	type variable struct{ name, value string }
	variables := []variable{{"RTSHIELD_CPUS", grant.CPUs.String()}, {"RTSHIELD_CLASS", grant.Class}, {"RTSHIELD_LEVEL", grant.Level}}
	if grant.Mask != "" {
		variables = append(variables, variable{"RTSHIELD_RT_CPUS", grant.RealTimePart().String()}, variable{"RTSHIELD_ORDINARY_CPUS", grant.Ordinary.String()})
	}
	for _, variable := range variables {
		steps = append(steps, func() error { return d.env(variable.name, variable.value) })
	}
	for _, when := range []string{"createRuntime", "poststart", "poststop"} {
		if when == "poststart" && !hook.Poststart {
			continue // it would only repeat what createRuntime has just read back
		}
		steps = append(steps, func() error { return d.add("hooks."+when, hook.entry(when)) })
	}
	return run(steps)
}

// Cut edits the document of an ordinary container: CPUs that others hold are taken out of its cpuset. The hooks tell
// the ledger of it, so that it gets them when they are free again.
func (d *Document) Cut(cpus shield.CPUs, hook Hook) error {
	if err := d.unambiguous(); err != nil {
		return err
	}
	return run([]func() error{
		func() error { return d.ensure("{}", "linux", "linux.resources", "linux.resources.cpu", "hooks") },
		func() error { return d.set("linux.resources.cpu.cpus", cpus.String()) },
		func() error { return d.remove("linux.resources." + unifiedCPUs) },
		func() error { return d.add("hooks.createRuntime", hook.entry("createRuntime")) },
		func() error { return d.add("hooks.poststop", hook.entry("poststop")) },
	})
}

// Join edits the document of a container that runs among others under its class's policy. What the engine says of its share of
// CPU time stays: quota and shares. The hook funds its real-time budget, and sets the policy.
func (d *Document) Join(shared shield.Shared, cpus shield.CPUs, rlimits []Rlimit, hook Hook) error {
	if err := d.Cut(cpus, hook); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return d.ensure("{}", "process") },
		func() error { return d.remove("process.scheduler") },
		func() error { return d.remove("linux.resources.cpu.realtimeRuntime") },
		func() error { return d.remove("linux.resources.cpu.realtimePeriod") },
		func() error { return d.env("RTSHIELD_CLASS", shared.Class) },
		func() error { return d.env("RTSHIELD_LEVEL", shield.LevelShared) },
	}
	for _, rlimit := range rlimits {
		steps = append(steps, func() error { return d.rlimit(rlimit) })
	}
	return run(steps)
}

func run(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// env sets a variable in process.env, in place of one that the image or the user may have set.
func (d *Document) env(name, value string) error {
	entry := name + "=" + value
	for i, existing := range gjson.GetBytes(d.data, "process.env").Array() {
		if strings.HasPrefix(existing.String(), name+"=") {
			return d.set(fmt.Sprintf("process.env.%d", i), entry)
		}
	}
	return d.add("process.env", entry)
}

func (d *Document) rlimit(rlimit Rlimit) error {
	found := false
	for i, existing := range gjson.GetBytes(d.data, "process.rlimits").Array() {
		if existing.Get("type").String() != rlimit.Type {
			continue
		}
		found = true // all of them: runc takes the last
		if err := d.set(fmt.Sprintf("process.rlimits.%d", i), rlimit); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	return d.add("process.rlimits", rlimit)
}
