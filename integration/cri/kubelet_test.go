package cri_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/rtshield/rtshield/integration/testhost"
)

// among is a class that may be shared.
const among = "[class.among]\npolicy = \"fifo\"\npriority = 20\nmax_priority = 30\nshared = true\n"

// cpuManager is a kubelet whose CPU manager is static: what it remembers, and the pods that it makes.
type cpuManager struct {
	*testing.T
	given map[string]map[string]string // CPUs by pod and container
}

// staticNode makes the policy follow one until the test is over.
func staticNode(t *testing.T) *cpuManager {
	t.Helper()
	n := &cpuManager{t, map[string]map[string]string{}}
	dir := engine.Path("kubelet")
	t.Cleanup(func() {
		if err := engine.RemoveCgroups("/kubepods"); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		if err := engine.writePolicy("rtshield"); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n.remember()
	if err := engine.writePolicyWith(fmt.Sprintf("cpus_from = \"auto\"\nkubelet = %q", dir), testhost.Aside+among); err != nil {
		t.Fatal(err)
	}
	return n
}

// pool are the CPUs that no container has alone.
func (n *cpuManager) pool() string {
	pool := engine.online
	for _, entries := range n.given {
		for _, cpus := range entries {
			pool = pool.Difference(testhost.Parse(n.T, cpus))
		}
	}
	return pool.String()
}

// remember writes cpu_manager_state, as the kubelet does before it creates a pod's containers.
func (n *cpuManager) remember() {
	n.Helper()
	text, err := json.Marshal(map[string]any{"policyName": "static", "defaultCpuSet": n.pool(), "entries": n.given, "checksum": 0})
	if err == nil {
		err = os.WriteFile(engine.Path("kubelet/cpu_manager_state"), text, 0o600)
	}
	if err != nil {
		n.Fatal(err)
	}
}

// run starts a pod, of which some containers have the shielded CPU alone. qos is its directory: empty for Guaranteed.
func (n *cpuManager) run(handler, qos string, annotations map[string]string, exclusive ...string) *pod {
	n.Helper()
	config := sandbox(annotations, n.TempDir())
	uid := config.Metadata.Uid
	config.Linux.CgroupParent = strings.ReplaceAll(engine.Cgroup+"/kubepods/"+qos+"/pod"+uid, "//", "/")
	n.given[uid] = map[string]string{}
	for _, container := range exclusive {
		n.given[uid][container] = shielded()
	}
	n.remember()
	return runPodOf(n.T, handler, config)
}

// forget ends a pod.
func (n *cpuManager) forget(p *pod) {
	n.Helper()
	p.remove()
	delete(n.given, p.config.Metadata.Uid)
	n.remember()
}

// startNamed creates and starts a container of this name.
func (p *pod) startNamed(name string, resources *cri.LinuxContainerResources, command ...string) container {
	p.Helper()
	p.naming = name
	defer func() { p.naming = "" }()
	return p.start(resources, command...)
}

// tried is start for a container that is to be refused: it gives what the kubelet would show of it.
func (p *pod) tried(resources *cri.LinuxContainerResources) error {
	p.Helper()
	c, err := p.create(resources, loop)
	if err == nil {
		err = c.start()
	}
	return err
}

// says is how an engine begins its report that a runtime refused a container.
var says = map[string]string{containerdName: "OCI runtime create failed: ", crioName: "container create failed: "}

// fraction is what the kubelet gives a container with half a CPU: CPU time, and the shared pool.
func (n *cpuManager) fraction() *cri.LinuxContainerResources {
	return &cri.LinuxContainerResources{CpuShares: 512, CpuQuota: 50000, CpuPeriod: 100000, CpusetCpus: n.pool(), MemoryLimitInBytes: 64 << 20}
}

// requestless is what it gives one that requests nothing, such as a debug container.
func (n *cpuManager) requestless() *cri.LinuxContainerResources {
	return &cri.LinuxContainerResources{CpuShares: 2, CpuPeriod: 100000, CpusetCpus: n.pool()}
}

func TestAPodFollowsTheKubeletAndItsSidecarsStayOrdinary(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		p := n.run("rtshield", "", asking, "app")
		app := p.start(static(shielded()), loop)
		sidecar := p.startNamed("log", n.fraction(), loop)
		debug := p.startNamed("debugger-x7k2p", n.requestless(), loop)
		p.holds("beside a sidecar and a debug container", app)
		for name, c := range map[string]container{"the sidecar": sidecar, "the debug container": debug} {
			scheduled(t, name, c.pid(), "OTHER 0 on "+others(t))
		}
		// After its restart the kubelet says all of it again.
		for c, resources := range map[container]*cri.LinuxContainerResources{app: static(shielded()), sidecar: n.fraction(), debug: n.requestless()} {
			if err := c.update(resources); err != nil {
				t.Error(err)
			}
		}
		p.holds("after the kubelet's restart", app)
		refused(t, app.update(static(engine.online.String())), "asks for CPU "+engine.online.String(), "by the kubelet's own record it has CPU "+shielded()+" alone")
		p.holds("after an update that the record knows nothing of", app)
		n.forget(p)
		nothing(t, "after the pod's end")
	})
}

func TestAHandlersClassIsForTheContainersThatTheKubeletGaveCPUs(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		p := n.run("rtshield-fifo", "", nil, "app")
		app := p.start(static(shielded()), loop)
		debug := p.startNamed("debugger-x7k2p", n.requestless(), loop)
		p.holds("by the handler's name", app)
		scheduled(t, "a debug container", debug.pid(), "OTHER 0 on "+others(t))
		n.forget(p)
	})
}

func TestWhereOneContainerIsNamedTheInitContainerStaysOrdinary(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		p := n.run("rtshield", "", map[string]string{"class.rtshield.io/app": "fifo", "rtshield.io/irq": "away"}, "setup", "app")
		setup := p.startNamed("setup", static(shielded()), "sh", "-c", "sleep 0.5")
		scheduled(t, "the init container, on the CPU that the app will have", setup.pid(), "OTHER 0 on "+shielded())
		nothing(t, "while the init container runs")
		setup.ended()
		app := p.start(static(shielded()), loop)
		p.holds("after the init container", app)
		n.forget(p)
	})
}

func TestAPodOfTheSharedPoolIsToldWhatItLacks(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		for name, c := range map[string]struct {
			qos       string
			resources *cri.LinuxContainerResources
			want      string
		}{
			"burstable": {"burstable", n.fraction(), "its pod is Burstable and has to be Guaranteed (limits of CPU and memory in every container, and requests equal to them); " +
				`its CPU limit is 500m and has to be whole CPUs (cpu: "1")`},
			"best effort": {"besteffort", n.requestless(), "its pod is BestEffort and has to be Guaranteed (limits of CPU and memory in every container, and requests equal to them); " +
				`it has no CPU limit and needs one of whole CPUs (cpu: "1")`},
			"a fraction": {"", n.fraction(), `its CPU limit is 500m and has to be whole CPUs (cpu: "1")`},
		} {
			p := n.run("rtshield", c.qos, asking)
			want := fmt.Sprintf(says[engine.name]+"rtshield: container app asks for class fifo, but the kubelet gave it no CPU of its own, only the shared pool (CPU %s): %s; or let it run among others ([class.fifo] shared = true)",
				engine.online, c.want)
			if err := p.tried(c.resources); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(strings.TrimSpace(err.Error()), "\n") {
				t.Errorf("%s: the kubelet shows\n%v\nwant\n%s", name, err, want)
			} else {
				t.Logf("%s: %v", name, err)
			}
			nothing(t, name)
			n.forget(p)
		}
	})
}

// What the kubelet does at its next look, up to ten seconds later, is done at once; and then it does it.
func TestPodsThatTheKubeletHasNotNarrowedYetAreOffTheCPUAtOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		before := map[string]container{}
		pods := map[string]*pod{}
		for _, handler := range []string{"runc", "rtshield"} {
			p := n.run(handler, "burstable", nil)
			pods[handler], before[handler] = p, p.start(n.fraction(), loop)
			scheduled(t, handler+" alone", before[handler].pid(), ordinary())
		}
		own := n.run("rtshield", "", asking, "app")
		app := own.start(static(shielded()), loop)
		for handler, c := range before {
			scheduled(t, handler+", which nobody has narrowed", c.pid(), "OTHER 0 on "+others(t))
			pods[handler].pauses(handler, "OTHER 0 on "+others(t))
		}
		own.holds("beside pods of the shared pool", app)
		narrow := func(when string) {
			t.Helper()
			for handler, c := range before {
				if err := c.update(n.fraction()); err != nil {
					t.Errorf("%s, %s: %v", when, handler, err)
				}
			}
		}
		narrow("the kubelet narrows them")
		own.holds("after the kubelet has narrowed the others", app)
		late := n.run("runc", "burstable", nil)
		scheduled(t, "one that is made now", late.start(n.fraction(), loop).pid(), "OTHER 0 on "+others(t))
		own.holds("beside one that was made meanwhile", app)
		n.forget(own)
		narrow("the kubelet widens them")
		for handler, c := range before {
			scheduled(t, handler+", afterwards", c.pid(), ordinary())
		}
	})
}

func TestAClassThatMayBeSharedRunsAmongOthers(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		p := n.run("rtshield", "burstable", map[string]string{"rtshield.io/class": "among", "rtshield.io/priority": "25"})
		c := p.start(n.fraction(), loop)
		scheduled(t, "alone", c.pid(), "FIFO 25 on "+engine.online.String())
		p.pauses("alone", ordinary())
		nothing(t, "a container that is shared")
		shown := sharedOnes(t)
		if len(shown) != 1 || shown[0].ID != c.id || shown[0].Class != "among" || shown[0].Policy != "fifo 25" || shown[0].CPUs != engine.online.String() || shown[0].State != "bound" {
			t.Errorf("status shows %+v", shown)
		}
		if quota := p.cgroupFile(c, "cpu", "cpu.cfs_quota_us"); quota != "50000" {
			t.Errorf("its quota is %s", quota)
		}
		if shown[0].Budget.Period > 0 { // RT_GROUP_SCHED
			if budget := p.cgroupFile(c, "cpu", "cpu.rt_runtime_us"); budget != "50000" || shown[0].Budget.Runtime != 50000 {
				t.Errorf("its real-time budget is %s, status says %+v", budget, shown[0].Budget)
			}
		}
		out, _, err := c.probe(probeBound, "sh", "-c", testhost.TellSelf)
		if err != nil || testhost.Told(t, out) != "OTHER 0 on "+engine.online.String() {
			t.Errorf("a probe runs %q, %v", out, err)
		}
		own := n.run("rtshield", "", asking, "app")
		app := own.start(static(shielded()), loop)
		scheduled(t, "beside one with a CPU of its own", c.pid(), "FIFO 25 on "+others(t))
		own.holds("beside one that is shared", app)
		if err := c.update(n.fraction()); err != nil { // the kubelet narrows it
			t.Error(err)
		}
		scheduled(t, "after the kubelet's update", c.pid(), "FIFO 25 on "+others(t))
		if out, err := engine.admin("verify", c.id).CombinedOutput(); err != nil || !strings.Contains(string(out), "app: class among, among others on CPU "+others(t)) {
			t.Errorf("%v: verify says\n%s", err, out)
		}
		n.forget(own)
		if err := c.update(n.fraction()); err != nil {
			t.Error(err)
		}
		scheduled(t, "after the other's end", c.pid(), "FIFO 25 on "+engine.online.String())
		if err := p.tried(n.fraction()); err != nil { // half of what is for all of them
			t.Errorf("a second: %v", err)
		}
		if shown[0].Budget.Period > 0 {
			if err := p.tried(n.fraction()); err == nil || !strings.Contains(err.Error(), "0 µs are left") {
				t.Errorf("a third: %v", err)
			}
		}
		refusedPod := n.run("rtshield", "burstable", map[string]string{"rtshield.io/class": "among", "rtshield.io/priority": "31"})
		if err := refusedPod.tried(n.fraction()); err == nil || !strings.Contains(err.Error(), "class among allows at most 30") {
			t.Errorf("above the ceiling: %v", err)
		}
		n.forget(refusedPod)
		n.forget(p)
		if shown := sharedOnes(t); len(shown) > 0 {
			t.Errorf("after its end: %+v", shown)
		}
		brief := n.run("rtshield", "burstable", map[string]string{"rtshield.io/class": "among"})
		brief.start(n.fraction(), "sh", "-c", "sleep 0.5").ended()
		testhost.Eventually(t, 5*time.Second, func() error { // the engine asks for its state, or deletes it
			if shown := sharedOnes(t); len(shown) > 0 {
				return fmt.Errorf("it has ended by itself: %+v", shown)
			}
			return nil
		})
		n.forget(brief)
		testhost.Eventually(t, 5*time.Second, func() error {
			text, err := os.ReadFile("/sys/fs/cgroup/cpu" + engine.Cgroup + "/kubepods/cpu.rt_runtime_us")
			if err == nil && strings.TrimSpace(string(text)) != "0" {
				return fmt.Errorf("kubepods keeps %s µs", text)
			}
			return nil
		})
	})
}

func TestWhatTheKubeletGaveToAPodIsAllocatedToNobodyElse(t *testing.T) {
	each(t, func(t *testing.T) {
		n := staticNode(t)
		guaranteed := n.run("runc", "", nil, "app")
		theirs := guaranteed.start(static(shielded()), loop)
		plain := runPod(t, "rtshield", asking) // of no kubelet, as a container of Docker's
		without := &cri.LinuxContainerResources{CpuShares: 2}
		if err := plain.tried(without); err == nil || !strings.Contains(err.Error(), "0 of 1 in the shield are free ("+shielded()+": pods of the kubelet)") {
			t.Errorf("beside a pod of the kubelet's: %v", err)
		}
		scheduled(t, "the pod", theirs.pid(), "OTHER 0 on "+shielded())
		n.forget(guaranteed)
		plain.holds("after the pod's end", plain.start(without, loop))
	})
}

type sharedOne struct {
	ID, Class, Policy, CPUs, State string
	Budget                         struct{ Runtime, Period int64 }
}

// sharedOnes asks `rtshield status --json` for the containers without CPUs of their own.
func sharedOnes(t *testing.T) []sharedOne {
	t.Helper()
	var status struct{ Shared []sharedOne }
	askStatus(t, &status)
	text, err := engine.admin("status").Output()
	if told := strings.Contains(string(text), "without CPUs of their own, among all others:"); err != nil || told != (len(status.Shared) > 0) {
		t.Errorf("%v: status says\n%s", err, text)
	}
	return status.Shared
}
