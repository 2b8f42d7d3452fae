package kubernetes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// The other pod is one that the kubelet has not narrowed yet: it does so at its next look, up to ten seconds later.
func TestAGuaranteedPodIsAloneOnItsCPUFromItsFirstInstruction(t *testing.T) {
	unchanged(t)
	beside := resting(t, "beside", "", fraction)
	other := beside.pid("app")
	scheduled(t, "before", other, everywhere(t))
	p := run(t, "loop", wish{class: "rtshield-fifo", more: "hostPID: true, ", containers: []string{
		container("app", whole, "", "sh", "-c", fmt.Sprintf("cat /proc/%d/status >/first; exec %s", other, testhost.Rest))}})
	p.ready()
	p.holds("when it is ready")
	if cpus := testhost.Allowed(p.exec("cat", "/first")); cpus != node.Others {
		t.Errorf("at its first instruction the other container could run on CPU %s, want %s", cpus, node.Others)
	}
	p.keeps("while the kubelet narrows the other", look)
	scheduled(t, "beside it", other, "OTHER 0 on "+node.Others)
	p.remove()
	if list := grants(t); len(list) > 0 {
		t.Errorf("after its end: still held: %+v", list)
	}
	testhost.Eventually(t, look+patience, func() error {
		if now := testhost.Schedule(t, other); now != everywhere(t) {
			return fmt.Errorf("afterwards the other container runs %s", now)
		}
		return nil
	})
}

func TestProbesAndExecAreOrdinaryAndAnswerWhileTheContainerSpins(t *testing.T) {
	unchanged(t)
	const probe = ", readinessProbe: {exec: {command: [/bin/rt-probe]}, periodSeconds: 1, timeoutSeconds: 10}"
	p := run(t, "loop", wish{class: "rtshield-fifo", more: "restartPolicy: Never, ", containers: []string{container("app", whole, probe, "/bin/rt-spin")}})
	p.ready() // says that a probe has answered
	p.holds("spinning")
	ordinary := "OTHER 0 on " + node.Shielded
	if got := testhost.Told(t, p.exec("cat", "/probe")); got != ordinary {
		t.Errorf("a probe runs %s, want %s", got, ordinary)
	}
	begun := time.Now()
	if got := testhost.Told(t, p.exec("sh", "-c", testhost.TellSelf)); got != ordinary {
		t.Errorf("kubectl exec runs %s, want %s", got, ordinary)
	}
	t.Logf("kubectl exec answers within %v", time.Since(begun).Round(time.Millisecond))
	p.holds("after them")
}

func TestAProbeOnHousekeepingAnswersASpinnerWithinTheKubeletsDefault(t *testing.T) {
	unchanged(t)
	const probe = ", readinessProbe: {exec: {command: [/bin/rt-probe]}, periodSeconds: 1}"
	p := run(t, "loop", wish{class: "rtshield", annotations: map[string]string{"class.rtshield.io/app": "aside"}, more: "restartPolicy: Never, ",
		containers: []string{container("app", whole, probe, "/bin/rt-spin")}})
	p.ready()
	scheduled(t, "spinning", p.pid("app"), fifo())
	if got, want := testhost.Told(t, p.exec("cat", "/probe")), "OTHER 0 on "+node.Others; got != want {
		t.Errorf("a probe runs %s, want %s", got, want)
	}
}

func TestTheShieldOutlivesKubeletAndContainerd(t *testing.T) {
	unchanged(t)
	p := resting(t, "loop", "rtshield-fifo", whole)
	pid := p.pid("app")
	p.holds("before")
	if err := node.StopKubelet(); err != nil {
		t.Error(err)
	}
	p.holds("without the kubelet")
	if err := node.StartKubelet(); err != nil {
		t.Fatalf("%v\n%s", err, node.LastWords())
	}
	p.keeps("while the kubelet tells every container its CPUs again", look)
	node.Kill9()
	if err := node.StartContainerd(); err != nil {
		t.Fatalf("%v\n%s", err, node.LastWords())
	}
	testhost.Eventually(t, patience, func() error {
		out, err := node.Kubectl("-n", space, "exec", p.name, "--", "echo", "alive")
		if err == nil && strings.TrimSpace(out) != "alive" {
			err = fmt.Errorf("exec says %q", out)
		}
		return err
	})
	p.holds("after containerd's return")
	if now := p.pid("app"); now != pid {
		t.Errorf("the container was pid %d, is %d", pid, now)
	}
}

func TestAKilledShimTakesItsPodAlongAndTheKubeletMakesItAnew(t *testing.T) {
	unchanged(t)
	p := resting(t, "loop", "rtshield-fifo", whole)
	id, pid := p.id("app"), p.pid("app")
	shim := parent(t, pid)
	if name := testhost.Read(t, fmt.Sprintf("/proc/%d/comm", shim)); !strings.HasPrefix(name, "containerd-shim") {
		t.Fatalf("above the container is %q, no shim", name)
	}
	testhost.Kill9(t, shim)
	testhost.Ended(t, patience, pid)
	p.until("made anew", func(now *told) bool {
		for _, c := range now.Status.ContainerStatuses {
			if c.Name == "app" && c.State.Running != nil && !strings.HasSuffix(c.ContainerID, id) {
				return true
			}
		}
		return false
	})
	p.holds("its successor")
}

func parent(t *testing.T, pid int) (above int) {
	t.Helper()
	for line := range strings.Lines(testhost.Read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if _, err := fmt.Sscanf(line, "PPid: %d", &above); err == nil {
			return above
		}
	}
	t.Fatalf("pid %d has no parent", pid)
	return 0
}

func TestAForcedDeleteAndAnEvictionLeaveNothing(t *testing.T) {
	unchanged(t)
	for what, end := range map[string]func(*pod) error{
		"kubectl delete --force": func(p *pod) error {
			_, err := node.Kubectl("-n", space, "delete", "pod", p.name, "--force", "--grace-period=0", "--wait=false")
			return err
		},
		"an eviction": func(p *pod) error { // as kubectl drain asks for it
			_, err := node.Make(pods+"/"+p.name+"/eviction", "{apiVersion: policy/v1, kind: Eviction, metadata: {name: "+p.name+"}}")
			return err
		},
		"the administrator's kill": func(p *pod) error { // of a container that is not to be started again
			testhost.Kill9(p.TB, p.pid("app"))
			return nil
		},
	} {
		p := run(t, "loop", wish{class: "rtshield-fifo", more: "restartPolicy: Never, ", containers: []string{container("app", whole, "", testhost.Rest)}})
		p.ready()
		p.holds("before " + what)
		if err := end(p); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		released(t)
		p.remove()
		for _, file := range []string{"", "/kubepods"} {
			for _, dir := range glob("cpu", file) {
				if budget := optional(dir + "/cpu.rt_runtime_us"); budget != "" && budget != "0" {
					t.Errorf("after %s %s keeps a budget of %s µs", what, dir, budget)
				}
			}
		}
	}
}

func TestAResizeOfMemoryKeepsTheShield(t *testing.T) {
	unchanged(t)
	p := resting(t, "loop", "rtshield-fifo", whole)
	pid, id := p.pid("app"), p.id("app")
	const memory = `{"spec": {"containers": [{"name": "app", "resources": {"requests": {"memory": "96Mi"}, "limits": {"memory": "96Mi"}}}]}}`
	status, answer, err := node.Call(http.MethodPatch, pods+"/"+p.name+"/resize", "application/strategic-merge-patch+json", []byte(memory))
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d: %s, %v", status, answer, err)
	}
	testhost.Eventually(t, patience, func() error {
		if limit := p.limit(id); limit != "100663296" {
			return fmt.Errorf("its memory limit is %s", limit)
		}
		return nil
	})
	p.holds("with more memory")
	if now := p.pid("app"); now != pid {
		t.Errorf("the container was pid %d, is %d", pid, now)
	}
}

// limit is a container's of memory.
func (p *pod) limit(id string) string {
	for _, dir := range p.cgroups("memory") {
		if strings.HasSuffix(dir, id) {
			return optional(dir+"/memory.limit_in_bytes") + optional(dir+"/memory.max")
		}
	}
	return ""
}

func TestADebugContainerStaysOrdinary(t *testing.T) {
	unchanged(t)
	p := resting(t, "loop", "rtshield-fifo", whole)
	// As kubectl debug does it.
	debugger := fmt.Sprintf(`{"spec": {"ephemeralContainers": [{"name": "debugger", "image": %q, "imagePullPolicy": "Never", "command": [%q]}]}}`, testhost.Image, testhost.Rest)
	status, answer, err := node.Call(http.MethodPatch, pods+"/"+p.name+"/ephemeralcontainers", "application/strategic-merge-patch+json", []byte(debugger))
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d: %s, %v", status, answer, err)
	}
	p.until("with a debugger", func(now *told) bool {
		return len(now.Status.EphemeralContainerStatuses) == 1 && now.Status.EphemeralContainerStatuses[0].State.Running != nil
	})
	scheduled(t, "the debugger", p.pid("debugger"), "OTHER 0 on "+node.Others)
	p.holds("beside a debugger")
}
