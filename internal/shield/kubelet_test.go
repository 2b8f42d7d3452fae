package shield

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

// ofPod is a request of a container in a kubelet's pod.
func ofPod(qos, cpus string, quota int64, shares uint64, choices ...string) Request {
	request := asks("app", choices...)
	request.Pod = Pod{ID: "5a", Name: "rt/loop", UID: "8f", QoS: qos}
	request.CPUs, request.Quota, request.Period, request.Shares = cpus, quota, 100000, shares
	return request
}

func named(request Request) Request {
	request.Choices = Choices{KeyClass: {"fifo", "class.rtshield.io/app"}}
	return request
}

func TestAPodsContainerFollowsTheKubelet(t *testing.T) {
	own := func(list string) Assigned { return Assigned{Manager: StaticManager, Own: set(t, list)} }
	shared, beside := Assigned{Manager: StaticManager}, Assigned{Manager: StaticManager, Beside: true}
	none, unknown := Assigned{Manager: "none"}, Assigned{}
	exclusive := ofPod(Guaranteed, "2-3", -1, 2048)
	fraction := ofPod(Guaranteed, "0-1,4-7", 50000, 512)
	for name, c := range map[string]struct {
		from     string
		request  Request
		assigned Assigned
		want     string // follows, ordinary, as it was, shared, or words of the refusal
	}{
		"its own CPUs":                       {"", exclusive, own("2-3"), "follows"},
		"its own CPUs, by engine":            {FromEngine, exclusive, own("2-3"), "follows"},
		"its own CPUs, and rtshield chooses": {FromRtshield, exclusive, own("2-3"), "as it was"},
		"its own CPUs with an old kubelet":   {"", ofPod(Guaranteed, "2-3", 200000, 2048), own("2-3"), "follows"},
		"somebody changed its CPUs":          {"", ofPod(Guaranteed, "4-5", -1, 2048), own("2-3"), `linux.resources.cpu.cpus = "4-5"`},
		"it names others by hand":            {"", ofPod(Guaranteed, "2-3", -1, 2048, KeyCPUSet, "4-5"), own("2-3"), `annotation rtshield.io/cpuset = "4-5", but the kubelet chooses`},
		"it names the same by hand":          {"", ofPod(Guaranteed, "2-3", -1, 2048, KeyCPUSet, "2,3"), own("2-3"), "follows"},
		"no pod":                             {"", asks("web"), shared, "as it was"},
		"no pod, by engine":                  {FromEngine, asks("web"), shared, "as it was"},
		"a fraction":                         {"", fraction, shared, `only the shared pool (CPU 0-1,4-7): its CPU limit is 500m and has to be whole CPUs (cpu: "1"); or let it run among others ([class.fifo] shared = true)`},
		"burstable":                          {"", ofPod(Burstable, "0-7", 200000, 512), shared, "its pod is Burstable and has to be Guaranteed"},
		"best effort":                        {"", ofPod(BestEffort, "0-7", 0, 2), shared, "its pod is BestEffort and has to be Guaranteed (limits of CPU and memory in every container, and requests equal to them); it has no CPU limit"},
		"whole, and older than the manager":  {"", ofPod(Guaranteed, "0-7", 200000, 2048), shared, "create it anew"},
		"a sidecar beside one with CPUs":     {"", fraction, beside, "ordinary"},
		"a sidecar that is named":            {"", named(fraction), beside, "its CPU limit is 500m"},
		"a debug container":                  {"", ofPod(Guaranteed, "0-7", 0, 2), beside, "ordinary"},
		"it requests nothing, and so do all": {"", ofPod(Guaranteed, "0-7", 0, 2), shared, "it has no CPU limit"},
		"a debug container, state not found": {"", ofPod(Guaranteed, "0-7", 0, 2), unknown, "ordinary"},
		"a debug container, manager none":    {"", ofPod(Guaranteed, "", 0, 2), none, "ordinary"},
		"a debug container that is named":    {"", named(ofPod(Guaranteed, "", 0, 2)), none, "as it was"},
		"manager none":                       {"", ofPod(Guaranteed, "", 200000, 2048), none, "as it was"},
		"manager none, by engine":            {FromEngine, ofPod(Guaranteed, "", 200000, 2048), none, "the kubelet's CPU manager is not static (cpuManagerPolicy: static)"},
		"state not found":                    {"", exclusive, unknown, "follows"},
		"state not found, old kubelet":       {"", ofPod(Guaranteed, "2-3", 200000, 2048), unknown, "follows"},
		"state not found, a fraction":        {"", fraction, unknown, "its CPU limit is 500m"},
		"state not found, burstable":         {"", ofPod(Burstable, "2-3", -1, 2048), unknown, "its pod is Burstable"},
		"state not found, nothing of CPUs":   {"", ofPod(Guaranteed, "", 200000, 2048), unknown, "as it was"},
	} {
		got, err := LayoutSpec{CPUsFrom: c.from}.Follow(BuiltinClasses(), c.request, c.assigned)
		told := "as it was"
		switch {
		case err != nil:
			told = err.Error()
		case got.From == FromEngine:
			told = "follows"
		case got.Shared:
			told = "shared"
		case !got.Asks():
			told = "ordinary"
		case !reflect.DeepEqual(got, c.request):
			told = "changed"
		}
		if !strings.Contains(told, c.want) || strings.Contains(told, "\n") {
			t.Errorf("%s: %s, want %s", name, told, c.want)
		}
		if err != nil && !strings.HasPrefix(told, "container app ") && !strings.HasPrefix(told, "annotation ") {
			t.Errorf("%s: whose is %q?", name, told)
		}
	}
}

func TestAClassThatMayBeSharedIs(t *testing.T) {
	classes := BuiltinClasses()
	class := classes["fifo"]
	class.Shared = true
	classes["fifo"] = class
	if err := class.Validate(); err != nil {
		t.Fatal(err)
	}
	follow := func(request Request, assigned Assigned) Request {
		request, err := LayoutSpec{}.Follow(classes, request, assigned)
		if err != nil {
			t.Error(err)
		}
		return request
	}
	if got := follow(ofPod(Burstable, "0-7", 200000, 512), Assigned{Manager: StaticManager}); !got.Shared || !got.Asks() {
		t.Errorf("%+v", got)
	}
	if got := follow(ofPod(Guaranteed, "2-3", -1, 2048), Assigned{Manager: StaticManager, Own: set(t, "2-3")}); got.Shared || got.From != FromEngine {
		t.Errorf("one with CPUs of its own is shared: %+v", got)
	}
	if got := follow(ofPod(Guaranteed, "0-7", 50000, 512), Assigned{Manager: StaticManager, Beside: true}); got.Asks() {
		t.Errorf("a sidecar that nobody named is %+v", got)
	}
}

// isolate keeps siblings idle; those beside CPUs of the kubelet's choice are the kubelet's to give.
func TestOfTheKubeletsCPUsNoSiblingIsKeptIdle(t *testing.T) {
	topo := twoNodes(t)
	layout := layoutOf(t, topo, "auto")
	host := Host{Topology: topo, Level: LevelCpuset, Cpusets: true}
	decide := func(cpus string, choices ...string) (Grant, error) {
		request := ofPod(Guaranteed, cpus, -1, 1024, choices...)
		request.From = FromEngine
		return Decide(BuiltinClasses(), layout, host, &Ledger{}, request)
	}
	grant, err := decide("2,10")
	if err != nil || grant.CPUs.String() != "2,10" || !grant.Idle.IsEmpty() || grant.SMT != SMTRequire || grant.From != FromEngine {
		t.Errorf("%+v, %v", grant, err)
	}
	for _, c := range []struct {
		cpus    string
		choices []string
		want    string
	}{
		{"2", nil, "may give sibling 10 to others, but smt is isolate (class fifo): set the kubelet's cpuManagerPolicyOptions full-pcpus-only"},
		{"2,10", []string{KeySMT, SMTIsolate}, "threads of one core"},
		{"0,8", nil, "not in the shield (1-7,9-15): choose from it, or widen [layout] shield; the kubelet chose it: its reservedSystemCPUs should be 0,8"},
	} {
		if _, err := decide(c.cpus, c.choices...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.cpus, c.choices, err, c.want)
		}
	}
}

func TestWhatTheKubeletGaveToPodsIsNotAllocated(t *testing.T) {
	topo := twoNodes(t)
	layout := layoutOf(t, topo, "auto")
	host := Host{Topology: topo, Level: LevelCpuset, Cpusets: true, Given: set(t, "1-2,9-10")}
	grant, err := Decide(BuiltinClasses(), layout, host, &Ledger{}, asks("web"))
	if err != nil || !grant.Held().Intersection(host.Given).IsEmpty() {
		t.Errorf("%s, idle %s, %v", grant.CPUs, grant.Idle, err)
	}
	host.Given = layout.Pool.Difference(cpuset.New(7))
	for _, request := range []Request{asks("web", KeyCPUSet, "3"), asks("web", KeyCPUs, "2")} {
		if _, err := Decide(BuiltinClasses(), layout, host, &Ledger{}, request); err == nil || !strings.Contains(err.Error(), "1-6,9-15: pods of the kubelet") {
			t.Errorf("%v", err)
		}
	}
}

func TestAClassThatNamesOneContainerIsForThatAlone(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		container   string
		want        string // the class, or "" for none
		keys        int
		elsewhere   bool
	}{
		"the pod's":                      {map[string]string{"rtshield.io/class": "fifo"}, "log", "fifo", 1, false},
		"it is named":                    {map[string]string{"class.rtshield.io/app": "fifo", "rtshield.io/priority": "60"}, "app", "fifo", 2, false},
		"another is":                     {map[string]string{"class.rtshield.io/app": "fifo", "rtshield.io/priority": "60"}, "log", "", 0, true},
		"another is, and CPU time":       {map[string]string{"class.rtshield.io/app": "fifo", "rtshield.io/cpu-bandwidth": "50%"}, "log", "", 1, true},
		"another is, beside the pod's":   {map[string]string{"class.rtshield.io/app": "rr", "rtshield.io/class": "fifo"}, "log", "fifo", 1, false},
		"both are":                       {map[string]string{"class.rtshield.io/app": "rr", "class.rtshield.io/log": "fifo"}, "log", "fifo", 1, false},
		"another is, and it has a word":  {map[string]string{"class.rtshield.io/app": "rr", "priority.rtshield.io/log": "7"}, "log", "", 1, true},
		"no pod: its name is not known":  {map[string]string{"class.rtshield.io/app": "rr", "rtshield.io/priority": "7"}, "", "", 1, false},
		"another key names another":      {map[string]string{"priority.rtshield.io/app": "7", "rtshield.io/class": "fifo"}, "log", "fifo", 1, false},
		"another key names it, no class": {map[string]string{"priority.rtshield.io/app": "7"}, "log", "", 0, false},
	} {
		choices, elsewhere, err := ReadChoices(c.annotations, c.container)
		if err != nil || choices[KeyClass].Value != c.want || len(choices) != c.keys || elsewhere != c.elsewhere {
			t.Errorf("%s: %v, %v, %v", name, choices, elsewhere, err)
		}
	}
}

// The lines of docs/kubernetes.md are those that users see.
func TestTheRefusalsOfTheDocumentAreThese(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	smt := twoNodes(t)
	flat := Topology{Online: set(t, "0-7"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-7")}}
	for cpu := range 8 {
		flat.Cores = append(flat.Cores, cpuset.New(cpu))
	}
	follow := func(request Request, assigned Assigned) error {
		_, err := LayoutSpec{}.Follow(BuiltinClasses(), request, assigned)
		return err
	}
	decide := func(topo Topology, shield, cpus string, grants ...Grant) error {
		request := ofPod(Guaranteed, cpus, -1, 1024)
		request.From = FromEngine
		_, err := Decide(BuiltinClasses(), layoutOf(t, topo, shield), Host{Topology: topo, Level: LevelCpuset, Cpusets: true}, &Ledger{Grants: grants}, request)
		return err
	}
	for cause, err := range map[string]error{
		"burstable": follow(ofPod(Burstable, "0-5", 50000, 512), Assigned{Manager: StaticManager}),
		"by hand":   follow(ofPod(Guaranteed, "2-3", -1, 2048, KeyCPUSet, "4-5"), Assigned{Manager: StaticManager, Own: set(t, "2-3")}),
		"house":     decide(flat, "auto", "0"), "thread": decide(smt, "auto", "2"), "taken": decide(flat, "3-7", "3", Grant{Name: "web", CPUs: cpus(t, "3")}),
	} {
		if err == nil || !strings.Contains(string(text), "| `"+err.Error()+"` |") {
			t.Errorf("%s: not in the document: %v", cause, err)
		}
	}
}
