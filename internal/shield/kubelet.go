package shield

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// Who chooses the CPUs of containers ([layout] cpus_from). Empty means auto: the engine for the pods of a kubelet whose CPU
// manager is static, rtshield for all others.
const (
	FromAuto     = "auto"
	FromRtshield = "rtshield"
	FromEngine   = "engine"
)

// StaticManager is the policy of a kubelet's CPU manager that gives whole CPUs away.
const StaticManager = "static"

// DefaultKubelet is where a kubelet keeps its state.
const DefaultKubelet = "/var/lib/kubelet"

// KubeletDir is the directory of the kubelet's state.
func (s LayoutSpec) KubeletDir() string { return cmp.Or(s.Kubelet, DefaultKubelet) }

// The QoS classes of pods, as Kubernetes writes them.
const (
	Guaranteed = "Guaranteed"
	Burstable  = "Burstable"
	BestEffort = "BestEffort"
)

// Assigned is what a kubelet says of one container's CPUs.
type Assigned struct {
	// Manager is the policy of its CPU manager, "" where nothing tells.
	Manager string
	// Own are those that the container has alone. Empty: it has the shared pool.
	Own cpuset.CPUSet
	// Others are those that containers of other pods have alone.
	Others cpuset.CPUSet
	// Beside: another container of its pod has CPUs of its own.
	Beside bool
}

// Follow holds a request to what the kubelet gave the container, where that chooses. A container with CPUs of its own has just
// these. One without them is refused, unless its class may be shared; a sidecar or a debug container beside one that has
// some, and that nobody named, is ordinary.
func (s LayoutSpec) Follow(classes map[string]Class, request Request, assigned Assigned) (Request, error) {
	if s.CPUsFrom == FromRtshield || request.Pod.UID == "" || !request.Asks() {
		return request, nil
	}
	debug := assigned.Manager != StaticManager && request.debugs() // else the record tells
	if assigned.Manager == "" {
		assigned = request.byShape(assigned)
	}
	_, realTime := request.Scheduler.realTime()
	named := realTime || request.named()
	switch {
	case !assigned.Own.IsEmpty():
		return request.take(assigned.Own)
	case !named && (assigned.Beside || debug):
		return request.aside(), nil
	case assigned.Manager != StaticManager && s.CPUsFrom != FromEngine: // it knows of no CPUs
		return request, nil
	}
	class, _, err := pickClass(classes, request)
	if err != nil {
		return request, err
	}
	if !class.Shared {
		return request, request.noOwn(class, assigned.Manager)
	}
	request.Shared = true
	return request, nil
}

// byShape tells from config.json what a kubelet gave whose state is not found. Only the static manager names CPUs; those of
// their own go to containers of Guaranteed pods without a quota (Kubernetes 1.33 and later), or with one of just so many CPUs.
func (r Request) byShape(assigned Assigned) Assigned {
	cpus, err := ParseCPUs(r.CPUs)
	if err != nil || cpus.IsEmpty() {
		return assigned
	}
	assigned.Manager = StaticManager
	unbounded := r.Quota < 0 && r.Shares > leastShares
	if r.Pod.QoS == Guaranteed && (unbounded || r.Period > 0 && r.Quota == int64(cpus.Size())*r.Period) {
		assigned.Own = cpus.CPUSet
	}
	return assigned
}

// leastShares is cpu.shares of a container that requests no CPU.
const leastShares = 2

// debugs tells an ephemeral container: all others of a Guaranteed pod request CPU.
func (r Request) debugs() bool {
	return r.Pod.QoS == Guaranteed && r.Shares > 0 && r.Shares <= leastShares && r.Quota <= 0
}

// named says whether an annotation speaks to this container, and not to its pod.
func (r Request) named() bool {
	for _, choice := range r.Choices {
		if !strings.HasPrefix(choice.Source, Domain+"/") {
			return true
		}
	}
	return false
}

// aside is the same container as an ordinary one.
func (r Request) aside() Request {
	r.LinkClass, r.Choices = "", r.Choices.ordinary()
	return r
}

// take is the request for the CPUs that the kubelet gave it.
func (r Request) take(own cpuset.CPUSet) (Request, error) {
	written, err := ParseCPUs(r.CPUs)
	if err != nil || !written.Equals(own) {
		return r, fmt.Errorf("container %s has CPU %s alone by the kubelet, and linux.resources.cpu.cpus = %q: something between the kubelet and rtshield changes it",
			r.Name, own, r.CPUs)
	}
	if choice, ok := r.Choices[KeyCPUSet]; ok {
		if asked, err := ParseCPUs(choice.Value); err != nil || !asked.Equals(own) {
			return r, fmt.Errorf("annotation %s = %q, but the kubelet chooses the CPUs of a pod, and gave container %s CPU %s: leave it out",
				choice.Source, choice.Value, r.Name, own)
		}
	}
	r.From = FromEngine
	return r, nil
}

// noOwn says what a container lacks for CPUs of its own.
func (r Request) noOwn(class Class, manager string) error {
	what := fmt.Sprintf("container %s asks for class %s, but the kubelet gave it no CPU of its own", r.Name, class.Name)
	if r.CPUs != "" {
		what += ", only the shared pool (CPU " + r.CPUs + ")"
	}
	var missing []string
	if manager != StaticManager {
		missing = append(missing, "the kubelet's CPU manager is not static (cpuManagerPolicy: static)")
	}
	if r.Pod.QoS != Guaranteed {
		missing = append(missing, fmt.Sprintf("its pod is %s and has to be Guaranteed (limits of CPU and memory in every container, and requests equal to them)", r.Pod.QoS))
	}
	if r.Period <= 0 || r.Quota <= 0 {
		missing = append(missing, `it has no CPU limit and needs one of whole CPUs (cpu: "1")`)
	} else if milli := r.Quota * 1000 / r.Period; milli%1000 != 0 {
		missing = append(missing, fmt.Sprintf("its CPU limit is %dm and has to be whole CPUs (cpu: %q)", milli, strconv.FormatInt(milli/1000+1, 10)))
	}
	if len(missing) == 0 {
		missing = append(missing, "its pod is older than the static CPU manager: create it anew")
	}
	return fmt.Errorf("%s: %s; or let it run among others ([class.%s] shared = true)", what, strings.Join(missing, "; "), class.Name)
}

// keepWhole is for CPUs that the kubelet chose: threads of a core that it did not give to this container it may give to others,
// so none is kept idle. Whole cores are as much as isolate promises: nobody else is on them.
func (t *Terms) keepWhole(topo Topology, request Request) error {
	if _, asked := request.Choices[KeySMT]; asked || request.From != FromEngine || t.SMT != SMTIsolate {
		return nil
	}
	if beside := topo.Siblings(t.Explicit).Difference(t.Explicit); !beside.IsEmpty() {
		return fmt.Errorf("container %s has CPU %s by the kubelet, which may give sibling %s to others, but smt is isolate (class %s): set the kubelet's cpuManagerPolicyOptions full-pcpus-only, or smt prefer",
			request.Name, t.Explicit, beside, t.Class.Name)
	}
	t.SMT = SMTRequire
	return nil
}
