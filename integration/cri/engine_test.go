package cri_test

import (
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
	"github.com/rtshield/rtshield/integration/crio"
	"github.com/rtshield/rtshield/integration/testhost"
)

// program is a containerd or a CRI-O.
type program interface {
	Config() string
	Configure(handlers map[string]string) error
	Import(files map[string]string, applets ...string) error
	Socket() string
	Start() error
}

// daemon is one whose pods are in a cgroup that nobody else has.
type daemon struct {
	program
	*testhost.Daemon
	name     string // containerd, crio
	rtshield string // the link in Dir, which the handlers name
	runc     string // the delegate
	policy   testhost.PolicyFile
	online   cpuset.CPUSet
	client   *grpc.ClientConn
	cri      cri.RuntimeServiceClient
}

// handlers are the runtime classes of the pods, and links to rtshield.
var handlers = []string{"rtshield", "rtshield-fifo"}

// unadjusted is runc for a root without CAP_SYS_RESOURCE, who may not lower an OOM score: CRI-O asks for -998 for pods.
const unadjusted = `#!/bin/sh
before=
for word in "$@"; do
	case $before in
	-b | --bundle) sed -i "s/\"oomScoreAdj\": *-[0-9]*/\"oomScoreAdj\":0/" "$word/config.json" ;;
	esac
	before=$word
done
exec RUNC "$@"
`

// newDaemon makes a place for one, and configures it.
func newDaemon(name string) (*daemon, error) {
	place, err := testhost.NewPlace("critest")
	if err != nil {
		return nil, err
	}
	c := &daemon{name: name}
	if name == crioName {
		engine, err := crio.New(place)
		if err != nil {
			return nil, err
		}
		c.program, c.Daemon = engine, engine.Daemon
	} else {
		engine, err := containerd.New(place)
		if err != nil {
			return nil, err
		}
		c.program, c.Daemon = engine, engine.Daemon
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
	if err := os.Mkdir(c.Path("bin"), 0o755); err != nil {
		return c, err
	}
	if c.runc = runc; name == crioName {
		c.runc = c.Path("bin/runc")
		if err := os.WriteFile(c.runc, []byte(strings.ReplaceAll(unadjusted, "RUNC", runc)), 0o755); err != nil {
			return c, err
		}
	}
	programs := map[string]string{"runc": c.runc}
	for _, name := range handlers {
		programs[name] = c.Path("bin/" + name)
		if err := os.Symlink(binary, programs[name]); err != nil {
			return c, err
		}
	}
	c.rtshield = programs["rtshield"]
	if err := c.writePolicy("rtshield"); err != nil {
		return c, err
	}
	c.Env = []string{c.policy.Env()}
	return c, c.Configure(programs)
}

// open starts it with its image and makes the first pod.
func (c *daemon) open() error {
	steps := []func() error{c.launch, func() error { return c.Import(nil, applets...) }, c.firstPod}
	if c.name == crioName { // which reads its store when it starts
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("%s: %w\n%s", c.name, err, c.LastWords())
		}
	}
	return nil
}

// writePolicy writes the policy, in which the CPUs are chosen by cpusFrom. Every invocation of rtshield reads it anew.
func (c *daemon) writePolicy(cpusFrom string) error {
	return c.writePolicyWith(fmt.Sprintf("cpus_from = %q", cpusFrom), testhost.Aside)
}

func (c *daemon) writePolicyWith(layout, classes string) (err error) {
	if c.online.Size() > 2 { // one CPU in the shield, as on the smallest host
		layout += fmt.Sprintf("\nshield = %q", shieldedCPU(c.online))
	}
	c.policy, err = testhost.WritePolicy(testhost.Options{Dir: c.Dir, Delegates: []string{c.runc}, Layout: layout, Classes: classes})
	return err
}

// launch starts it, and waits until its CRI answers.
func (c *daemon) launch() error {
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
				return fmt.Errorf("%s is not ready: %s", c.name, condition.Message)
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

// admin is one of rtshield's own commands, on the engine's policy file.
func (c *daemon) admin(args ...string) *exec.Cmd {
	cmd := exec.Command(c.rtshield, args...)
	cmd.Env = append(os.Environ(), c.policy.Env())
	return cmd
}
