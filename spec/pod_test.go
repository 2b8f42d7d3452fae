package spec

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
)

func TestAContainerTellsItsPod(t *testing.T) {
	crio := documentOf(`{"annotations":{"io.kubernetes.cri-o.SandboxID":"5a","io.kubernetes.pod.namespace":"rt","io.kubernetes.pod.name":"loop","io.kubernetes.cri-o.ContainerType":"container"}}`)
	for document, want := range map[*Document]shield.Pod{
		load(t, bundle(t, "testdata/containerd-cri-container.json")): {
			ID: "273763171fa2acd41093720c77545e2700406a249477fb19a8f6ad1bf0a1e029", Name: "default/rt-priv",
			UID: "cc084f04-1820-4cbe-8a49-5bb3955b302e", QoS: shield.BestEffort,
		},
		crio: {ID: "5a", Name: "rt/loop"},
		load(t, bundle(t, "testdata/runc-spec.json")): {},
	} {
		request, err := document.Request(shield.Key{ID: "x"}, "")
		if err != nil || request.Pod != want {
			t.Errorf("%+v, %v; want %+v", request.Pod, err, want)
		}
	}
}

func TestACgroupTellsThePodOfAKubelet(t *testing.T) {
	const uid = "8f0a1c2d-0000-4cbe-8a49-5bb3955b302e"
	slice := strings.ReplaceAll(uid, "-", "_")
	for path, want := range map[string][2]string{
		"/kubepods/pod" + uid + "/4f2a":                                                                      {uid, shield.Guaranteed},
		"/kubepods/burstable/pod" + uid + "/4f2a":                                                            {uid, shield.Burstable},
		"/kubepods/besteffort/pod" + uid + "/4f2a":                                                           {uid, shield.BestEffort},
		"/a/b/kubepods/pod" + uid + "/4f2a":                                                                  {uid, shield.Guaranteed},
		"/kubepods.slice/kubepods-pod" + slice + ".slice/cri-containerd-4f2a.scope":                          {uid, shield.Guaranteed},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + slice + ".slice/crio-4f2a.scope": {uid, shield.Burstable},
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + slice + ".slice/cri-containerd-4.scope": {uid, shield.BestEffort},
		"/kubepods/pod7c9d0f4e2b1a/4f2a":    {"7c9d0f4e2b1a", shield.Guaranteed}, // a static pod's
		"/kubepods/app":                     {},
		"/kubepods":                         {},
		"/kubepods/burstable":               {},
		"/kubepods.slice/docker-4f2a.scope": {},
		"/system.slice/docker-4f2a.scope":   {},
		"/docker/pod" + uid:                 {},
		"/my-kubepods/pod" + uid + "/4f2a":  {},
	} {
		if got, qos := kubeletPod(path); got != want[0] || qos != want[1] && want[0] != "" {
			t.Errorf("%s: pod %q, %s", path, got, qos)
		}
	}
}

// Of a container that is no pod's the cgroup may be called anything.
func TestOnlyAPodsContainerIsOfAKubelet(t *testing.T) {
	for text, want := range map[string]string{
		`{"annotations":{"io.kubernetes.cri.container-name":"app"},"linux":{"cgroupsPath":"kubepods-pod8f.slice:cri-containerd:4f"}}`:                                                     "8f",
		`{"annotations":{"io.kubernetes.cri.container-name":"app"},"linux":{"cgroupsPath":"/kubepods/pod8f/4f"}}`:                                                                         "8f",
		`{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.cri-o.ContainerType":"container"},"linux":{"cgroupsPath":"kubelet-kubepods-burstable-pod8f.slice:crio:4f"}}`: "8f",
		`{"linux":{"cgroupsPath":"/kubepods/pod8f/4f"}}`: "",
	} {
		request, err := documentOf(text).Request(shield.Key{ID: "x"}, "")
		if err != nil || request.Pod.UID != want {
			t.Errorf("%s: %+v, %v", text, request.Pod, err)
		}
	}
}

func TestAContainerThatJoinsOthersKeepsItsShareOfTime(t *testing.T) {
	before := `{"process":{"env":["A=b"],"scheduler":{"policy":"SCHED_FIFO","priority":9}},"linux":{"resources":{"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-7","realtimeRuntime":5,"realtimePeriod":10}}}}`
	document := documentOf(before)
	err := document.Join(shield.Shared{Class: "fifo"}, shield.CPUsOf(cpuset.New(0, 1, 2, 3, 4, 5)), []Rlimit{Same("RLIMIT_RTPRIO", 80)}, testHook)
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string { return gjson.GetBytes(document.data, path).String() }
	for path, want := range map[string]string{
		"linux.resources.cpu": `{"shares":512,"quota":50000,"period":100000,"cpus":"0-5"}`, "process.scheduler": "",
		"process.env": `["A=b","RTSHIELD_CLASS=fifo","RTSHIELD_LEVEL=shared"]`, "process.rlimits.0.hard": "80",
		"hooks.createRuntime.0.args.2": "createRuntime", "hooks.poststop.0.args.2": "poststop", "hooks.poststart": "",
	} {
		if got := read(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
