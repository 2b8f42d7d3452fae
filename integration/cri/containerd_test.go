package cri_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
)

// containerd is one with everything in one directory, and pods in a cgroup that nobody else has.
type containerd struct {
	*testhost.Place
	programs string // the directory with its programs
	rtshield string // the link in Dir, which the handlers name
	policy   testhost.PolicyFile
	online   cpuset.CPUSet
	cmd      *exec.Cmd
	log      *os.File
	exited   chan error
	client   *grpc.ClientConn
	cri      cri.RuntimeServiceClient
}

// handlers are the runtime classes of the pods, and links to rtshield.
var handlers = []string{"rtshield", "rtshield-fifo"}

func newContainerd() (*containerd, error) {
	place, err := testhost.NewPlace("critest")
	if err != nil {
		return nil, err
	}
	c := &containerd{Place: place}
	if c.programs, err = testhost.FindContainerd(); err != nil {
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
	if err := os.Mkdir(c.Path("bin"), 0o755); err != nil {
		return c, err
	}
	c.rtshield = c.Path("bin/rtshield")
	for _, name := range handlers {
		if err := os.Symlink(binary, c.Path("bin/"+name)); err != nil {
			return c, err
		}
	}
	if c.log, err = os.Create(c.Path("log")); err != nil {
		return c, err
	}
	return c, errors.Join(c.writePolicy("rtshield"), c.configure())
}

// writePolicy writes the policy, in which the CPUs are chosen by cpusFrom. Every invocation of rtshield reads it anew.
func (c *containerd) writePolicy(cpusFrom string) error {
	return c.writePolicyWith(fmt.Sprintf("cpus_from = %q", cpusFrom), testhost.Aside)
}

func (c *containerd) writePolicyWith(layout, classes string) (err error) {
	if c.online.Size() > 2 { // one CPU in the shield, as on the smallest host
		layout += fmt.Sprintf("\nshield = %q", shieldedCPU(c.online))
	}
	c.policy, err = testhost.WritePolicy(testhost.Options{Dir: c.Dir, Layout: layout, Classes: classes})
	return err
}

// configure writes containerd's configuration. Nothing of it is below /etc, /opt or /run of the host.
func (c *containerd) configure() error {
	var handled strings.Builder
	for _, name := range append([]string{"runc"}, handlers...) {
		program := c.Path("bin/" + name)
		if name == "runc" {
			var err error
			if program, err = testhost.FindRunc(); err != nil {
				return err
			}
		}
		fmt.Fprintf(&handled, `
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.%s]
runtime_type = 'io.containerd.runc.v2'
pod_annotations = ['rtshield.io/*', '*.rtshield.io/*']
container_annotations = ['rtshield.io/*', '*.rtshield.io/*']
options = {BinaryName = '%s', Root = '%s', SystemdCgroup = false}
`, name, program, c.Path("runc"))
	}
	text := strings.NewReplacer("DIR", c.Dir, "IMAGE", image).Replace(`version = 4
root = 'DIR/root'
state = 'DIR/state'
imports = []
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing', 'io.containerd.image-verifier.v1.bindir',
	'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.devmapper',
	'io.containerd.snapshotter.v1.erofs', 'io.containerd.snapshotter.v1.zfs']
[plugins.'io.containerd.server.v1.grpc']
address = 'DIR/sock'
[plugins.'io.containerd.server.v1.ttrpc']
address = 'DIR/ttrpc'
[plugins.'io.containerd.shim.v1.manager']
socket_dir = 'DIR/s'
[plugins.'io.containerd.internal.v1.opt']
path = 'DIR/opt'
[plugins.'io.containerd.cri.v1.images']
snapshotter = 'native'
pinned_images = {sandbox = 'IMAGE'}
[plugins.'io.containerd.grpc.v1.cri']
disable_tcp_service = true
[plugins.'io.containerd.cri.v1.runtime']
disable_apparmor = true
restrict_oom_score_adj = true # whoever may not lower it
cdi_spec_dirs = []
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['DIR/cni']
conf_dir = 'DIR/cni'
`)
	return os.WriteFile(c.Path("containerd.toml"), []byte(text+handled.String()), 0o644)
}

// launch starts it, and waits until its CRI answers.
func (c *containerd) launch() error {
	cmd := exec.Command(filepath.Join(c.programs, "containerd"), "--config", c.Path("containerd.toml"))
	cmd.Env = append(os.Environ(), c.policy.Env(), "PATH="+c.programs+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = c.log, c.log
	// Ctrl-C is for us; and it ends with us, also in a panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	c.cmd, c.exited = cmd, exited
	go func() { exited <- cmd.Wait() }()
	if c.client != nil {
		_ = c.client.Close()
	}
	var err error
	if c.client, err = grpc.NewClient("unix://"+c.Path("sock"), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
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

// kill9 ends it as a crash does. Its shims live on.
func (c *containerd) kill9() {
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// importImage brings the one image in: for containers, and as the sandbox's.
func (c *containerd) importImage() error {
	tree, err := testhost.Busybox(map[string]string{loop: loopScript}, applets...)
	if err != nil {
		return err
	}
	archive, err := testhost.Archive(image, tree, loop)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(c.programs, "ctr"), "--address", c.Path("sock"), "--namespace", "k8s.io",
		"images", "import", "--local", "--snapshotter", "native", "-")
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return nil
}

// stop ends it and takes away all that it made, also after a test that went wrong.
func (c *containerd) stop() error {
	if c == nil {
		return nil
	}
	if c.client != nil {
		_ = c.client.Close()
	}
	if c.cmd != nil {
		c.kill9()
	}
	if c.log != nil {
		_ = c.log.Close()
	}
	return c.Clear(c.admin("reconcile"))
}

// lastWords are the end of its log.
func (c *containerd) lastWords() string {
	if c == nil {
		return ""
	}
	text, _ := os.ReadFile(c.Path("log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// admin is one of rtshield's own commands, on the policy file of containerd.
func (c *containerd) admin(args ...string) *exec.Cmd {
	cmd := exec.Command(c.rtshield, args...)
	cmd.Env = append(os.Environ(), c.policy.Env())
	return cmd
}
