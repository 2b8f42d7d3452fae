package spec

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

// The annotations by which engines tell a pod's pause container and a container's name: containerd's CRI, CRI-O,
// cri-dockerd.
var (
	typeAnnotations = map[string]string{
		"io.kubernetes.cri.container-type":  "sandbox",
		"io.kubernetes.cri-o.ContainerType": "sandbox",
		"io.kubernetes.docker.type":         "podsandbox",
	}
	nameAnnotations = []string{"io.kubernetes.cri.container-name", "io.kubernetes.container.name"}
	podAnnotations  = []struct{ id, namespace, name string }{
		{"io.kubernetes.cri.sandbox-id", "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"},
		{"io.kubernetes.cri-o.SandboxID", "io.kubernetes.pod.namespace", "io.kubernetes.pod.name"},
	}
)

// Request reads what the container asks for. Environment and image labels are never read: an image cannot ask.
func (d *Document) Request(key shield.Key, linkClass string) (shield.Request, error) {
	data := d.data
	if d.unambiguous() != nil || !utf8.Valid(data) { // gjson leaves in a string what encoding/json replaces
		data = asRuncReads(data)
	}
	request := shield.Request{Key: key, LinkClass: linkClass, Name: shortID(key.ID), Cgroup: cgroup(data, key.ID)}
	annotations := map[string]string{}
	gjson.GetBytes(data, "annotations").ForEach(func(key, value gjson.Result) bool {
		annotations[key.String()] = value.String()
		return true
	})
	for annotation, sandbox := range typeAnnotations {
		request.Sandbox = request.Sandbox || annotations[annotation] == sandbox
	}
	container := ""
	for _, annotation := range nameAnnotations {
		if name := annotations[annotation]; name != "" {
			container, request.Name = name, name
		}
	}
	if request.Sandbox {
		return request, nil
	}
	for _, of := range podAnnotations {
		if id := annotations[of.id]; id != "" {
			request.Pod = shield.Pod{ID: id, Name: annotations[of.namespace] + "/" + annotations[of.name]}
		}
	}
	if container != "" {
		request.Pod.UID, request.Pod.QoS = kubeletPod(request.Cgroup)
	}
	choices, elsewhere, err := shield.ReadChoices(annotations, container)
	if err != nil {
		return request, err
	}
	if request.Choices = choices; elsewhere {
		request.LinkClass = ""
	}
	request.Scheduler = scheduler(data)
	request.HasRDT = gjson.GetBytes(data, "linux.intelRdt").IsObject()
	resources := gjson.GetBytes(data, "linux.resources")
	cpu := resources.Get("cpu")
	request.CPUs = strings.TrimSpace(lastOf(cpu.Get("cpus"), resources.Get(unifiedCPUs)).String())
	request.Mems = strings.TrimSpace(lastOf(cpu.Get("mems"), resources.Get(unifiedMems)).String())
	request.Quota, request.Period = quota(resources)
	request.Shares = cpu.Get("shares").Uint()
	request.Budget = shield.Budget{Runtime: cpu.Get("realtimeRuntime").Int(), Period: cpu.Get("realtimePeriod").Int()}
	resources.Get("hugepageLimits").ForEach(func(_, limit gjson.Result) bool {
		pages := shield.HugePages{Size: limit.Get("pageSize").String(), Bytes: limit.Get("limit").Uint()}
		pages.PageSize = pageSize(pages.Size)
		// Beyond all memory there is: how engines write "no limit".
		request.HugePages = slices.DeleteFunc(request.HugePages, func(before shield.HugePages) bool { return before.PageSize == pages.PageSize }) // runc takes the last
		if pages.PageSize > 0 && pages.Bytes < 1<<60 {
			request.HugePages = append(request.HugePages, pages)
		}
		return true
	})
	gjson.GetBytes(data, "process.rlimits").ForEach(func(_, rlimit gjson.Result) bool {
		switch hard := rlimit.Get("hard").Uint(); rlimit.Get("type").String() {
		case "RLIMIT_RTPRIO":
			request.RTPrio = max(request.RTPrio, hard)
		case "RLIMIT_RTTIME":
			request.RTTime = &hard // of several runc takes the last
		}
		return true
	})
	return request, nil
}

// lastOf gives the value that counts: on cgroup v2 runc writes unified last.
func lastOf(value, unified gjson.Result) gjson.Result {
	if unified.Exists() {
		return unified
	}
	return value
}

func scheduler(data []byte) *shield.Scheduler {
	value := gjson.GetBytes(data, "process.scheduler")
	if !value.IsObject() {
		return nil
	}
	return &shield.Scheduler{
		Policy: value.Get("policy").String(), Nice: int(value.Get("nice").Int()), Priority: int(value.Get("priority").Int()),
		Runtime: value.Get("runtime").Uint(), Deadline: value.Get("deadline").Uint(), Period: value.Get("period").Uint(),
	}
}

// shortID is an id as people read it in `docker ps`.
func shortID(id string) string {
	if len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" {
		return id[:12]
	}
	return id
}

// pageSize reads a size of huge pages, such as 2MB or 1GB, into bytes. 0: it is none, and the delegate will say so.
func pageSize(text string) uint64 {
	for unit, shift := range map[string]int{"KB": 10, "MB": 20, "GB": 30} {
		if number, found := strings.CutSuffix(text, unit); found {
			if n, err := strconv.ParseUint(number, 10, 32); err == nil {
				return n << shift
			}
		}
	}
	return 0
}

// cgroup tells where the delegate will put the container, below the mount of a hierarchy.
func cgroup(data []byte, id string) string {
	path := gjson.GetBytes(data, "linux.cgroupsPath").String()
	// The systemd driver's slice:prefix:name.
	switch slice, scope, systemd := strings.Cut(path, ":"); {
	case systemd:
		path = filepath.Join(slicePath(slice), strings.ReplaceAll(scope, ":", "-")+".scope")
	case path == "":
		path = id
	}
	return filepath.Clean("/" + path)
}

// slicePath turns a systemd slice into its path: a-b.slice is a.slice/a-b.slice (systemd.slice(5)).
func slicePath(slice string) string {
	name := strings.TrimSuffix(slice, ".slice")
	if name == "" || name == "-" {
		return "/"
	}
	path, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		prefix += part
		path += "/" + prefix + ".slice"
		prefix += "-"
	}
	return path
}
