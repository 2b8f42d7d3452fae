package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

// Process is a process as exec adds it to a container. What we do not know stays as it is.
type Process struct{ object }

// ParseProcess reads the JSON that an engine gives to exec. Its error wraps ErrNotJSON for what the delegate has its own words
// for.
func ParseProcess(data []byte) (Process, error) {
	var p Process
	if err := json.Unmarshal(data, &p.object); err != nil || p.object == nil {
		return p, fmt.Errorf("process: %w: %w", ErrNotJSON, err)
	}
	return p, nil
}

// LoadProcess gives the container's own process out of a bundle, which delegates start from when exec names only a program.
func LoadProcess(bundle string) (Process, error) {
	document, err := Load(bundle)
	if err != nil {
		return Process{}, err
	}
	return ParseProcess([]byte(gjson.GetBytes(document.disk, "process").Raw))
}

// Schedule gives it the policy of a grant; Demote makes it ordinary.
func (p Process) Schedule(grant shield.Grant) {
	p.Demote()
	scheduler := map[string]any{"policy": "SCHED_" + strings.ToUpper(string(grant.Policy))}
	switch {
	case grant.Policy.HasPriority():
		scheduler["priority"] = grant.Priority
	case grant.Policy == shield.Deadline:
		scheduler["runtime"], scheduler["deadline"], scheduler["period"] = grant.Deadline.Runtime, grant.Deadline.Deadline, grant.Deadline.Period
		scheduler["flags"] = []string{"SCHED_FLAG_RESET_ON_FORK"} // or it could make no other thread
	default:
		scheduler["nice"] = grant.Nice
	}
	p.Set("scheduler", scheduler)
}

// Demote takes the scheduler out.
func (p Process) Demote() { p.drop("scheduler") }

// RunOn sends it to the CPUs that a grant has for it (execCPUAffinity: runc 1.3, crun 1.19).
func (p Process) RunOn(grant shield.Grant) {
	p.drop("execCPUAffinity")
	p.Set("execCPUAffinity", affinity(grant))
}

// affinity is an execCPUAffinity. initial counts before the process is in the container's cgroup, where it could wait for a
// CPU that spins before the delegate gets to final.
func affinity(grant shield.Grant) map[string]string {
	return map[string]string{"initial": grant.ExecFrom().String(), "final": grant.ExecCPUs.String()}
}

// drop takes a member out, in whatever letters: runc reads names without regard to case.
func (p Process) drop(name string) {
	for key := range p.object {
		if strings.EqualFold(key, name) {
			delete(p.object, key)
		}
	}
}

// Set gives a member a value.
func (p Process) Set(name string, value any) { p.object[name] = encode(value) }

// Append adds to a list that may not be there yet. Members below an object are named "capabilities.bounding".
func (p Process) Append(name string, values ...string) {
	if len(values) == 0 {
		return
	}
	outer, inner, nested := strings.Cut(name, ".")
	if nested {
		below := Process{object{}}
		_ = json.Unmarshal(p.object[outer], &below.object)
		below.Append(inner, values...)
		p.object[outer] = encode(below.object)
		return
	}
	var list []string
	_ = json.Unmarshal(p.object[name], &list) // what is none is replaced, as by the delegate
	p.Set(name, append(list, values...))
}

// Has says whether a member, such as "capabilities.inheritable", is there and not null.
func (p Process) Has(path string) bool {
	value := gjson.GetBytes(p.JSON(), path)
	return value.Exists() && value.Type != gjson.Null
}

// User gives process.user, empty where there is none.
func (p Process) User() map[string]any {
	user := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(p.object["user"]))
	decoder.UseNumber()
	if decoder.Decode(&user) != nil || user == nil {
		return map[string]any{}
	}
	return user
}

// JSON gives the text for the delegate.
func (p Process) JSON() []byte { return encode(p.object) }
