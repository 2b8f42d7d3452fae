package spec

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// The cpuset in unified, as gjson paths below linux.resources.
const (
	unifiedCPUs = `unified.cpuset\.cpus`
	unifiedMems = `unified.cpuset\.mems`
)

// touched are the objects that we read and edit. runc reads keys without regard to case and takes the last of several,
// gjson takes the first that fits exactly: a file where the two differ could run with other CPUs than were checked.
var touched = []struct {
	path  string
	array bool // of such objects
	keys  []string
}{
	{"@this", false, []string{"process", "linux", "hooks", "annotations", "mounts"}},
	{"process", false, []string{"env", "rlimits", "scheduler", "execCPUAffinity"}},
	{"process.rlimits", true, []string{"type", "hard", "soft"}},
	{"process.scheduler", false, []string{"policy", "nice", "priority", "runtime", "deadline", "period"}},
	{"linux", false, []string{"resources", "memoryPolicy", "cgroupsPath", "intelRdt"}},
	{"linux.resources", false, []string{"cpu", "unified", "memory", "hugepageLimits"}},
	{"linux.resources.cpu", false, []string{"cpus", "mems", "shares", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod"}},
	{"linux.resources.memory", false, []string{"swappiness"}},
	{"linux.resources.hugepageLimits", true, []string{"pageSize", "limit"}},
	{"linux.resources.unified", false, []string{cpusetCPUs, cpusetMems, cpuMax, cpuMaxBurst}},
	{"hooks", false, []string{"createRuntime", "poststart", "poststop"}},
}

// unambiguous refuses keys that two readers of JSON could understand in two ways.
func (d *Document) unambiguous() error {
	for _, object := range touched {
		value := gjson.GetBytes(d.data, object.path)
		switch {
		case !value.Exists() || value.Type == gjson.Null:
			continue
		case object.array && !value.IsArray():
			return fmt.Errorf("%s: %s is not an array", d.Path, object.path)
		case !object.array && !value.IsObject():
			return fmt.Errorf("%s: %s is not an object", d.Path, object.path)
		}
		elements := []gjson.Result{value}
		if object.array {
			elements = value.Array()
		}
		for _, element := range elements {
			if err := plain(element, object.keys); err != nil {
				return fmt.Errorf("%s: in %s: %w", d.Path, strings.Replace(object.path, "@this", "the outermost object", 1), err)
			}
		}
	}
	return nil
}

// plain refuses an object that has a known key twice, or in other letters.
func plain(object gjson.Result, known []string) (problem error) {
	seen := map[string]bool{}
	object.ForEach(func(key, _ gjson.Result) bool {
		for _, name := range known {
			switch {
			case !strings.EqualFold(key.String(), name):
				continue
			case key.String() != name:
				problem = fmt.Errorf("key %q: write it %q", key.String(), name)
			case seen[name]:
				problem = fmt.Errorf("key %q stands twice", name)
			}
			seen[name] = true
		}
		return problem == nil
	})
	return problem
}

// asRuncReads gives the parts of a config.json that a request is read from, under the names by which gjson finds them:
// encoding/json, which runc reads it with, takes a key in any letters, and what stands twice together.
func asRuncReads(data []byte) []byte {
	var parts struct {
		Annotations map[string]string `json:"annotations,omitempty"`
		Process     *struct {
			Rlimits []struct {
				Type string `json:"type"`
				Hard uint64 `json:"hard"`
			} `json:"rlimits,omitempty"`
			Scheduler *struct {
				Policy   string `json:"policy"`
				Nice     int32  `json:"nice"`
				Priority int32  `json:"priority"`
				Runtime  uint64 `json:"runtime"`
				Deadline uint64 `json:"deadline"`
				Period   uint64 `json:"period"`
			} `json:"scheduler,omitempty"`
		} `json:"process,omitempty"`
		Linux *struct {
			CgroupsPath string `json:"cgroupsPath,omitempty"`
			Resources   *struct {
				CPU *struct {
					Cpus            string  `json:"cpus,omitempty"`
					Mems            string  `json:"mems,omitempty"`
					Shares          *uint64 `json:"shares,omitempty"`
					Quota           *int64  `json:"quota,omitempty"`
					Period          uint64  `json:"period,omitempty"`
					RealtimeRuntime *int64  `json:"realtimeRuntime,omitempty"`
					RealtimePeriod  uint64  `json:"realtimePeriod,omitempty"`
				} `json:"cpu,omitempty"`
				Unified        map[string]string `json:"unified,omitempty"`
				HugepageLimits []struct {
					Pagesize string `json:"pageSize"`
					Limit    uint64 `json:"limit"`
				} `json:"hugepageLimits,omitempty"`
			} `json:"resources,omitempty"`
		} `json:"linux,omitempty"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return data // runc will not read it either
	}
	return encode(parts)
}
