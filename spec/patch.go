package spec

import (
	"fmt"
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

// Rlimit is a hard and soft limit to set, by its name in the specification.
type Rlimit struct {
	Type  string
	Value uint64
}

// Shield edits the document for a grant: the CPUs and memory nodes, no quota on them, the rlimits, what the container
// sees in its environment, and the hooks that do the rest.
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
	lifted := []string{
		"linux.resources.cpu.quota", "linux.resources.cpu.period", "linux.resources.cpu.burst",
		"linux.resources.cpu.realtimeRuntime", "linux.resources.cpu.realtimePeriod", `linux.resources.unified.cpu\.max`,
		unifiedCPUs, unifiedMems,
		"process.scheduler",
	}
	if grant.Pinned { // without a cpuset controller the delegate would fail
		lifted = append(lifted, "linux.resources.cpu.cpus", "linux.resources.cpu.mems")
	} else {
		steps = append(steps,
			func() error { return d.set("linux.resources.cpu.cpus", grant.CPUs.String()) },
			func() error { return d.set("linux.resources.cpu.mems", grant.Mems.String()) })
	}
	switch grant.Memory.Swap {
	case "memory.swap.max":
		steps = append(steps, func() error { return d.ensure("{}", "linux.resources.unified") },
			func() error { return d.set(`linux.resources.unified.memory\.swap\.max`, "0") })
	case "memory.swappiness":
		steps = append(steps, func() error { return d.ensure("{}", "linux.resources.memory") },
			func() error { return d.set("linux.resources.memory.swappiness", 0) })
	}
	if grant.Memory.Policy == shield.Bind && !gjson.GetBytes(d.data, "linux.memoryPolicy").Exists() {
		steps = append(steps, func() error {
			return d.set("linux.memoryPolicy", map[string]string{"mode": "MPOL_BIND", "nodes": grant.Mems.String()})
		})
	}
	for _, path := range lifted {
		steps = append(steps, func() error { return d.remove(path) })
	}
	for _, rlimit := range rlimits {
		steps = append(steps, func() error { return d.rlimit(rlimit) })
	}
	for _, variable := range []struct{ name, value string }{
		{"RTSHIELD_CPUS", grant.CPUs.String()}, {"RTSHIELD_CLASS", grant.Class}, {"RTSHIELD_LEVEL", grant.Level},
	} {
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

// On cgroup v2 runc writes these over linux.resources.cpu.
const (
	unifiedCPUs = `linux.resources.unified.cpuset\.cpus`
	unifiedMems = `linux.resources.unified.cpuset\.mems`
)

// Cut edits the document of an ordinary container: CPUs that others hold are taken out of its cpuset. The hooks tell
// the ledger of it, so that it gets them when they are free again.
func (d *Document) Cut(cpus shield.CPUs, hook Hook) error {
	if err := d.unambiguous(); err != nil {
		return err
	}
	return run([]func() error{
		func() error { return d.ensure("{}", "linux", "linux.resources", "linux.resources.cpu", "hooks") },
		func() error { return d.set("linux.resources.cpu.cpus", cpus.String()) },
		func() error { return d.remove(unifiedCPUs) },
		func() error { return d.add("hooks.createRuntime", hook.entry("createRuntime")) },
		func() error { return d.add("hooks.poststop", hook.entry("poststop")) },
	})
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
	entry := struct {
		Type string `json:"type"`
		Hard uint64 `json:"hard"`
		Soft uint64 `json:"soft"`
	}{rlimit.Type, rlimit.Value, rlimit.Value}
	for i, existing := range gjson.GetBytes(d.data, "process.rlimits").Array() {
		if existing.Get("type").String() == rlimit.Type {
			return d.set(fmt.Sprintf("process.rlimits.%d", i), entry)
		}
	}
	return d.add("process.rlimits", entry)
}
