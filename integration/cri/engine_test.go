package cri_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/containerd"
	"github.com/rtshield/rtshield/integration/testhost"
)

// daemon is a containerd whose pods are in a cgroup that nobody else has.
type daemon struct {
	*containerd.Daemon
	rtshield string // the link in Dir, which the handlers name
	policy   testhost.PolicyFile
	online   cpuset.CPUSet
	client   *grpc.ClientConn
	cri      cri.RuntimeServiceClient
}

// handlers are the runtime classes of the pods, and links to rtshield.
var handlers = []string{"rtshield", "rtshield-fifo"}

func newContainerd() (*daemon, error) {
	place, err := testhost.NewPlace("critest")
	if err != nil {
		return nil, err
	}
	c := &daemon{}
	if c.Daemon, err = containerd.New(place); err != nil {
		return c, err
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return c, err
	}
	if c.online, err = cpuset.Parse(strings.TrimSpace(string(online))); err != nil {
		return c, err
	}
	if c.online.Size() < 2 {
		return c, fmt.Errorf("this host has CPU %s only: these tests need one to shield and one to live on", c.online)
	}
	binary, err := testhost.FindRtshield()
	if err != nil {
		return c, err
	}
	runc, err := testhost.FindRunc()
	if err != nil {
		return c, err
	}
	programs := map[string]string{"runc": runc}
	if err := os.Mkdir(c.Path("bin"), 0o755); err != nil {
		return c, err
	}
	for _, name := range handlers {
		programs[name] = c.Path("bin/" + name)
		if err := os.Symlink(binary, programs[name]); err != nil {
			return c, err
		}
	}
	c.rtshield = programs["rtshield"]
	return c, errors.Join(c.writePolicy("rtshield"), c.Configure(programs))
}

// writePolicy writes the policy, in which the CPUs are chosen by cpusFrom. Every invocation of rtshield reads it anew.
func (c *daemon) writePolicy(cpusFrom string) error {
	return c.writePolicyWith(fmt.Sprintf("cpus_from = %q", cpusFrom), testhost.Aside)
}

func (c *daemon) writePolicyWith(layout, classes string) (err error) {
	if c.online.Size() > 2 { // one CPU in the shield, as on the smallest host
		layout += fmt.Sprintf("\nshield = %q", shieldedCPU(c.online))
	}
	c.policy, err = testhost.WritePolicy(testhost.Options{Dir: c.Dir, Layout: layout, Classes: classes})
	return err
}

// launch starts it, and waits until its CRI answers.
func (c *daemon) launch() error {
	c.Env = []string{c.policy.Env()}
	if err := c.Start(); err != nil {
		return err
	}
	if c.client != nil {
		_ = c.client.Close()
	}
	var err error
	if c.client, err = grpc.NewClient(c.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	c.cri = cri.NewRuntimeServiceClient(c.client)
	return testhost.Poll(30*time.Second, func() error {
		ctx, cancel := patiently()
		defer cancel()
		status, err := c.cri.Status(ctx, &cri.StatusRequest{})
		if err != nil {
			return err
		}
		for _, condition := range status.Status.Conditions { // there is no network, and none is asked for
			if condition.Type == cri.RuntimeReady && !condition.Status {
				return fmt.Errorf("containerd is not ready: %s", condition.Message)
			}
		}
		return nil
	})
}

// stop ends it and takes away all that it made, also after a test that went wrong.
func (c *daemon) stop() error {
	if c == nil {
		return nil
	}
	if c.client != nil {
		_ = c.client.Close()
	}
	c.Stop()
	return c.Clear(c.admin("reconcile"))
}

// admin is one of rtshield's own commands, on the policy file of containerd.
func (c *daemon) admin(args ...string) *exec.Cmd {
	cmd := exec.Command(c.rtshield, args...)
	cmd.Env = append(os.Environ(), c.policy.Env())
	return cmd
}
