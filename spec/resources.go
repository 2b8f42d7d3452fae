package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

// Resources are the linux.resources of an update, as the engine wrote them. What we do not know stays as it is.
type Resources struct {
	all, cpu, unified object
}

// object is a JSON object with its members' texts.
type object map[string]json.RawMessage

// The members that we look at.
const (
	cpuMax     = "cpu.max"
	cpuIdle    = "cpu.idle"
	cpusetCPUs = "cpuset.cpus"
	cpusetMems = "cpuset.mems"
)

var (
	resourcesKeys = []string{"cpu", "unified"}
	cpuKeys       = []string{"cpus", "mems", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod", "idle"}
)

// ParseResources reads the JSON text of an update, up to the end of its first value, as runc does. Its error wraps ErrNotJSON
// for what the delegate has its own words for.
func ParseResources(data []byte) (*Resources, error) {
	r := &Resources{}
	var first json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&first); err != nil {
		return nil, fmt.Errorf("resources: %w: %w", ErrNotJSON, err)
	}
	if err := r.all.read("the outermost object", first, resourcesKeys); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		into *object
		keys []string
	}{{"cpu", &r.cpu, cpuKeys}, {"unified", &r.unified, nil}} {
		if err := part.into.read(part.name, r.all[part.name], part.keys); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// read takes the members of an object; null and nothing have none. Those that we know get the names by which every reader
// finds them: runc reads names without regard to case, and puts together what stands twice, which is refused.
func (o *object) read(where string, text json.RawMessage, known []string) error {
	*o = object{}
	if text == nil {
		return nil
	}
	var members object
	if err := json.Unmarshal(text, &members); err != nil {
		return fmt.Errorf("resources: %s: %w: %w", where, ErrNotJSON, err)
	}
	count := 0
	if len(members) > 0 {
		gjson.ParseBytes(text).ForEach(func(_, _ gjson.Result) bool { count++; return true })
	}
	for key, value := range members {
		name := key
		if i := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(key, name) }); i >= 0 {
			name = known[i]
		}
		(*o)[name] = value
	}
	if count != len(*o) {
		return fmt.Errorf("resources: in %s a key stands twice", where)
	}
	return nil
}

// Update gives what they ask for of the CPUs. On cgroup v2 runc writes unified last, so that counts.
func (r *Resources) Update() (shield.Update, error) {
	var update shield.Update
	var err error
	read := func(from object, name string, into any) {
		if text, given := from[name]; given && err == nil {
			if problem := json.Unmarshal(text, into); problem != nil {
				err = fmt.Errorf("resources: %s: %w: %w", name, ErrNotJSON, problem)
			}
		}
	}
	read(r.cpu, "cpus", &update.CPUs)
	read(r.cpu, "mems", &update.Mems)
	read(r.cpu, "quota", &update.Quota)
	read(r.cpu, "realtimeRuntime", &update.RTRuntime)
	read(r.cpu, "realtimePeriod", &update.RTPeriod)
	read(r.cpu, "idle", &update.Idle)
	read(r.unified, cpusetCPUs, &update.CPUs)
	read(r.unified, cpusetMems, &update.Mems)
	var most, idle string
	read(r.unified, cpuMax, &most)
	read(r.unified, cpuIdle, &idle)
	if quota, _ := readMax(most); err == nil && strings.TrimSpace(most) != "" {
		if update.Quota = quota; quota == 0 {
			err = fmt.Errorf("resources: %s = %q: expected \"max\", or µs and period", cpuMax, most)
		}
	}
	if idle != "" && idle != "0" {
		update.Idle = 1
	}
	for name := range r.unified {
		if strings.HasPrefix(name, "cpuset.") && name != cpusetCPUs && name != cpusetMems {
			update.Other = append(update.Other, name)
		}
	}
	return update, err
}

// Keep makes them say of the CPUs what a container has, and nothing that would take from it. Empty sets are left out, and so is
// a share that bounds nothing.
func (r *Resources) Keep(cpus, mems shield.CPUs, share shield.Share) {
	r.SetCPUs(cpus)
	r.set("mems", cpusetMems, mems)
	delete(r.cpu, "realtimeRuntime")
	delete(r.cpu, "realtimePeriod")
	r.SetShare(share)
}

// SetCPUs changes the CPUs alone.
func (r *Resources) SetCPUs(cpus shield.CPUs) { r.set("cpus", cpusetCPUs, cpus) }

func (r *Resources) set(name, unified string, set shield.CPUs) {
	delete(r.cpu, name)
	delete(r.unified, unified)
	if !set.IsEmpty() {
		r.cpu[name] = encode(set.String())
	}
}

// JSON gives the text for the delegate.
func (r *Resources) JSON() []byte {
	for name, part := range map[string]object{"cpu": r.cpu, "unified": r.unified} {
		if _, given := r.all[name]; given || len(part) > 0 {
			r.all[name] = encode(part)
		}
	}
	return encode(r.all)
}

func encode(value any) json.RawMessage {
	data, err := json.Marshal(value)
	if err != nil { // unreachable: it came out of JSON
		panic(err)
	}
	return data
}
