//go:build vmguest

package systemd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/rtshield/rtshield/integration/testhost"
)

// podImage is the one that there is, for containers and as the sandbox's. "localhost" keeps containerd from asking a registry.
const podImage = "localhost/busybox:test"

// kubelet leads pods through the CRI of Debian's containerd, with systemd's cgroups.
type kubelet struct {
	*testing.T
	cri cri.RuntimeServiceClient
}

// newKubelet imports the image and waits until the CRI answers.
func newKubelet(t *testing.T) kubelet {
	t.Helper()
	tree, err := imageTree()
	if err != nil {
		t.Fatal(err)
	}
	image, err := testhost.Archive(podImage, tree, "/bin/loop")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "ctr", "--namespace", "k8s.io", "images", "import", file)
	client, err := grpc.NewClient("unix:///run/containerd/containerd.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return kubelet{t, cri.NewRuntimeServiceClient(client)}
}

// call makes one call of the CRI's, and waits for a containerd that is being restarted.
func call[In, Out any](method func(context.Context, In, ...grpc.CallOption) (Out, error), in In) (Out, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no end within %v", patience))
	defer cancel()
	return method(ctx, in, grpc.WaitForReady(true))
}

// pod is a sandbox with one container in it, which has CPUs of its own as the static CPU manager gives them.
type pod struct {
	kubelet
	sandbox, id string
	slice       string // systemd's, which the kubelet would make
}

// start runs a Guaranteed pod through a handler; an error is that of the handler.
func (k kubelet) start(handler, cpus string) (pod, error) {
	k.Helper()
	uid := fmt.Sprintf("%d", time.Now().UnixNano())
	p := pod{kubelet: k, slice: "kubepods-pod" + uid + ".slice"}
	host := &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER} // there is no CNI
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "web", Uid: uid, Namespace: "default"},
		LogDirectory: k.TempDir(), DnsConfig: &cri.DNSConfig{Servers: []string{"127.0.0.1"}}, // the image has no resolv.conf
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: "/kubepods.slice/" + p.slice, SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: host}},
	}
	sandbox, err := call(k.cri.RunPodSandbox, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		return p, err
	}
	p.sandbox = sandbox.PodSandboxId
	k.Cleanup(p.remove)
	made, err := call(k.cri.CreateContainer, &cri.CreateContainerRequest{
		PodSandboxId: p.sandbox, SandboxConfig: config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "app"}, Image: &cri.ImageSpec{Image: podImage}, Command: []string{"/bin/loop"}, LogPath: "app.log",
			Linux: &cri.LinuxContainerConfig{
				Resources:       &cri.LinuxContainerResources{CpuShares: 2048, CpuQuota: -1, CpuPeriod: 100000, CpusetCpus: cpus, MemoryLimitInBytes: 64 << 20},
				SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: host},
			},
		},
	})
	if err != nil {
		return p, err
	}
	p.id = made.ContainerId
	_, err = call(k.cri.StartContainer, &cri.StartContainerRequest{ContainerId: p.id})
	return p, err
}

// holds fails unless the container has what it was granted, by systemd's cgroup and the kernel, and a probe into it is ordinary.
func (p pod) holds(when string) {
	p.Helper()
	answer, err := call(p.cri.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: p.id, Verbose: true})
	if err != nil {
		p.Fatalf("%s: %v", when, err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(answer.Info["info"]), &info); err != nil || info.Pid <= 1 {
		p.Fatalf("%s: %v in %q", when, err, answer.Info)
	}
	for _, hole := range holes(p.T, p.id, info.Pid, filepath.Join(cgroupMount, "kubepods.slice", p.slice, "cri-containerd-"+p.id+".scope")) {
		p.Errorf("%s: %s", when, hole)
	}
	probe, err := call(p.cri.ExecSync, &cri.ExecSyncRequest{ContainerId: p.id, Cmd: []string{"/bin/sh", "-c", testhost.TellSelf}, Timeout: int64(patience.Seconds())})
	if err != nil || probe.ExitCode != 0 {
		p.Fatalf("%s: a probe: %v, %+v", when, err, probe)
	}
	if got, want := testhost.Told(p.T, string(probe.Stdout)), "OTHER 0 on "+grantOf(p.T, p.id).CPUs.String(); got != want {
		p.Errorf("%s: a probe runs %s, want %s", when, got, want)
	}
}

// remove stops and removes the pod, as the kubelet does. Twice is no error.
func (p pod) remove() {
	p.Helper()
	_, stopErr := call(p.cri.StopPodSandbox, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox})
	_, err := call(p.cri.RemovePodSandbox, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox})
	if err := errors.Join(stopErr, err); err != nil {
		p.Error(err)
	}
	run(p.T, "systemctl", "stop", p.slice) // which takes also one that is gone
}
