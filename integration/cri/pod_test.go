package cri_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
)

// loop is a program that does nothing until it is told to stop.
const loop = testhost.Rest

var applets = []string{"sh", "cat", "cut", "echo", "grep", "sleep", "tail", "true"}

// patience is how long one call may take.
const patience = 40 * time.Second

func patiently() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no end within %v", patience))
}

// call makes one call of the CRI's.
func call[In, Out any](method func(context.Context, In, ...grpc.CallOption) (Out, error), in In) (Out, error) {
	ctx, cancel := patiently()
	defer cancel()
	out, err := method(ctx, in)
	return out, err
}

// shieldedCPU is the one CPU of the shield.
func shieldedCPU(online cpuset.CPUSet) string {
	list := online.List()
	return fmt.Sprint(list[len(list)-1])
}

func shielded() string { return shieldedCPU(engine.online) }
func others(t *testing.T) string {
	return engine.online.Difference(testhost.Parse(t, shielded())).String()
}
func fifo() string     { return "FIFO 50 on " + shielded() }
func ordinary() string { return "OTHER 0 on " + engine.online.String() }

// unchanged compares the host, and that nothing is left in the ledger, when the test is over.
func unchanged(t *testing.T) {
	t.Helper()
	testhost.HostUnchanged(t, engine.policy.Ledger())
}

// pod is a sandbox that runs, with the cgroup that the kubelet makes for it.
type pod struct {
	*testing.T
	id      string
	config  *cri.PodSandboxConfig
	attempt uint32
	naming  string // of the containers that are made next; app without
}

// sandbox is a pod's configuration, on the host's network, as there is no CNI.
func sandbox(annotations map[string]string, logs string) *cri.PodSandboxConfig {
	uid := fmt.Sprintf("pod%d", time.Now().UnixNano())
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "web", Uid: uid, Namespace: "default"}, Annotations: annotations, LogDirectory: logs,
		Labels: map[string]string{"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": uid},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: engine.Cgroup + "/" + uid,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
}

// runPod starts one.
func runPod(t *testing.T, handler string, annotations map[string]string) *pod {
	t.Helper()
	return runPodOf(t, handler, sandbox(annotations, t.TempDir()))
}

func runPodOf(t *testing.T, handler string, config *cri.PodSandboxConfig) *pod {
	t.Helper()
	p := &pod{T: t, config: config}
	t.Cleanup(p.remove)
	answer, err := call(engine.cri.RunPodSandbox, &cri.RunPodSandboxRequest{Config: p.config, RuntimeHandler: handler})
	if err != nil {
		t.Fatalf("%v\n%s", err, engine.LastWords())
	}
	p.id = answer.PodSandboxId
	return p
}

// remove stops and removes the pod with its containers, and then its cgroup, as the kubelet does. Twice is no error.
func (p *pod) remove() {
	p.Helper()
	if err := engine.removePod(p.id, p.config); err != nil {
		p.Errorf("%v\n%s", err, engine.LastWords())
	}
}

func (c *daemon) removePod(id string, config *cri.PodSandboxConfig) error {
	err := testhost.Poll(patience, func() error { // the kubelet tries again, too
		if id == "" {
			return nil
		}
		_, stopErr := call(c.cri.StopPodSandbox, &cri.StopPodSandboxRequest{PodSandboxId: id})
		_, err := call(c.cri.RemovePodSandbox, &cri.RemovePodSandboxRequest{PodSandboxId: id})
		return errors.Join(stopErr, err)
	})
	return errors.Join(err, c.RemoveCgroups(strings.TrimPrefix(config.Linux.CgroupParent, c.Cgroup)))
}

// firstPod makes the cgroups above all pods, and containerd's files: the tests compare with the host as it is from here on.
func (c *daemon) firstPod() error {
	config := sandbox(nil, c.Dir)
	answer, err := call(c.cri.RunPodSandbox, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: "runc"})
	if err != nil {
		return err
	}
	return c.removePod(answer.PodSandboxId, config)
}

// pauseless: CRI-O makes no process for a pod whose containers have PID namespaces of their own.
func (p *pod) pauseless() bool {
	return engine.name == crioName && p.config.Linux.SecurityContext.NamespaceOptions.Pid == cri.NamespaceMode_CONTAINER
}

// pause is the pod's own process, 0 where it has none.
func (p *pod) pause() int {
	p.Helper()
	if p.pauseless() {
		return 0
	}
	answer, err := call(engine.cri.PodSandboxStatus, &cri.PodSandboxStatusRequest{PodSandboxId: p.id, Verbose: true})
	if err != nil {
		p.Fatal(err)
	}
	return pid(p.T, answer.Info)
}

// pauses fails unless that process, where there is one, runs as want.
func (p *pod) pauses(when, want string) {
	p.Helper()
	if !p.pauseless() {
		scheduled(p.T, when+", the pause container", p.pause(), want)
	}
}

// pid is in what the engine says beside the CRI's own fields.
func pid(t *testing.T, info map[string]string) int {
	t.Helper()
	var said struct{ Pid int }
	if err := json.Unmarshal([]byte(info["info"]), &said); err != nil || said.Pid <= 1 {
		t.Fatalf("pid %d, %v in %q", said.Pid, err, info)
	}
	return said.Pid
}

// container is one of a pod's.
type container struct {
	*testing.T
	id string
}

// static are the resources that the kubelet's static CPU manager gives a container with these CPUs of its own.
func static(cpus string) *cri.LinuxContainerResources {
	return &cri.LinuxContainerResources{CpuShares: 1024, CpuQuota: -1, CpuPeriod: 100000, CpusetCpus: cpus, MemoryLimitInBytes: 64 << 20}
}

func (p *pod) create(resources *cri.LinuxContainerResources, command ...string) (container, error) {
	p.Helper()
	p.attempt++
	name, labels := cmp.Or(p.naming, "app"), maps.Clone(p.config.Labels)
	labels["io.kubernetes.container.name"] = name
	answer, err := call(engine.cri.CreateContainer, &cri.CreateContainerRequest{
		PodSandboxId: p.id, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name, Attempt: p.attempt}, Labels: labels,
			Image: &cri.ImageSpec{Image: testhost.Image, UserSpecifiedImage: testhost.Image}, Command: command, LogPath: "app.log",
			Linux: &cri.LinuxContainerConfig{
				Resources: resources,
				SecurityContext: &cri.LinuxContainerSecurityContext{
					NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions, Seccomp: p.config.Linux.SecurityContext.Seccomp,
				},
			},
		},
	})
	if err != nil {
		return container{}, err
	}
	return container{p.T, answer.ContainerId}, nil
}

// start creates a container and starts it.
func (p *pod) start(resources *cri.LinuxContainerResources, command ...string) container {
	p.Helper()
	c, err := p.create(resources, command...)
	if err == nil {
		err = c.start()
	}
	if err != nil {
		p.Fatalf("%v\n%s", err, engine.LastWords())
	}
	return c
}

func (c container) start() error {
	_, err := call(engine.cri.StartContainer, &cri.StartContainerRequest{ContainerId: c.id})
	return err
}

func (c container) status() (*cri.ContainerStatus, map[string]string) {
	c.Helper()
	answer, err := call(engine.cri.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: c.id, Verbose: true})
	if err != nil {
		c.Fatal(err)
	}
	return answer.Status, answer.Info
}

func (c container) pid() int {
	c.Helper()
	_, info := c.status()
	return pid(c.T, info)
}

// stop is the end that the kubelet gives it: a signal, the grace period, SIGKILL; and then it is removed.
func (c container) stop() {
	c.Helper()
	_, stopErr := call(engine.cri.StopContainer, &cri.StopContainerRequest{ContainerId: c.id, Timeout: 5})
	_, err := call(engine.cri.RemoveContainer, &cri.RemoveContainerRequest{ContainerId: c.id})
	if err := errors.Join(stopErr, err); err != nil {
		c.Fatal(err)
	}
}

// ended waits until the container has, and gives why.
func (c container) ended() *cri.ContainerStatus {
	c.Helper()
	var status *cri.ContainerStatus
	testhost.Eventually(c.T, patience, func() error {
		if status, _ = c.status(); status.State != cri.ContainerState_CONTAINER_EXITED {
			return fmt.Errorf("it is %s", status.State)
		}
		return nil
	})
	return status
}

func (c container) update(resources *cri.LinuxContainerResources) error {
	_, err := call(engine.cri.UpdateContainerResources, &cri.UpdateContainerResourcesRequest{ContainerId: c.id, Linux: resources})
	return err
}

// probe is an exec probe, and how long it took.
func (c container) probe(timeout time.Duration, command ...string) (string, time.Duration, error) {
	begun := time.Now()
	answer, err := call(engine.cri.ExecSync, &cri.ExecSyncRequest{ContainerId: c.id, Cmd: command, Timeout: int64(timeout.Seconds())})
	if err == nil && answer.ExitCode != 0 {
		err = fmt.Errorf("%q ended with %d: %s", command, answer.ExitCode, answer.Stderr)
	}
	return string(answer.GetStdout()), time.Since(begun), err
}

// cgroupFile is a file of the container's cgroup: in a controller's own hierarchy, or in the unified one.
func (p *pod) cgroupFile(c container, controller, file string) string {
	p.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		controller = ""
	}
	name := c.id
	if engine.name == crioName {
		name = "crio-" + name
	}
	return testhost.Read(p.T, "/sys/fs/cgroup/"+controller+p.config.Linux.CgroupParent+"/"+name+"/"+file)
}

// scheduled fails unless a process runs as want.
func scheduled(t *testing.T, when string, pid int, want string) {
	t.Helper()
	if got := testhost.Schedule(t, pid); got != want {
		t.Errorf("%s: it runs %s, want %s", when, got, want)
	}
}

type grant struct {
	ID, Class, CPUs, State string
	PID                    int
}

// grants asks `rtshield status --json`.
func grants(t *testing.T) []grant {
	t.Helper()
	var status struct{ Grants []grant }
	askStatus(t, &status)
	return status.Grants
}

func askStatus(t *testing.T, into any) {
	t.Helper()
	out, err := engine.admin("status", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// holds fails unless this container alone has what it was granted, from the kernel's side too.
func (p *pod) holds(when string, c container) {
	p.Helper()
	now := c.pid()
	want := []grant{{ID: c.id, Class: "fifo", CPUs: shielded(), State: "bound", PID: now}}
	if list := grants(p.T); !slices.Equal(list, want) {
		p.Errorf("%s: the grants are %+v, want %+v", when, list, want)
	}
	scheduled(p.T, when, now, fifo())
	p.pauses(when, "OTHER 0 on "+others(p.T))
	if cpus := p.cgroupFile(c, "cpuset", "cpuset.cpus"); cpus != shielded() {
		p.Errorf("%s: cpuset.cpus is %s", when, cpus)
	}
	if movable, _ := testhost.Reaching(p.T, shielded()); len(movable) > 0 {
		p.Errorf("%s: irq %v may arrive on its CPU", when, movable)
	}
}

// nothing fails if anybody holds a CPU.
func nothing(t *testing.T, when string) {
	t.Helper()
	if list := grants(t); len(list) > 0 {
		t.Errorf("%s: still held: %+v", when, list)
	}
}

// released waits for that: for containers that ended without anybody having been told.
func released(t *testing.T) {
	t.Helper()
	testhost.Eventually(t, patience, func() error {
		if list := grants(t); len(list) > 0 {
			return fmt.Errorf("still held: %+v", list)
		}
		return nil
	})
}
