// Package containerd runs a real containerd for the suites, with everything in one directory.
package containerd

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rtshield/rtshield/integration/testhost"
)

// Image is the one that there is, for containers and as the sandbox's. "localhost" keeps containerd from asking a registry for it.
const Image = "localhost/busybox:test"

// Loop is a program in the image that does nothing until it is told to stop.
const Loop = "/bin/rt-rest"

// No name of a task that a machine may have, which would be exempt: see testhost.Policy.
const loopScript = `#!/bin/sh
trap 'exit 0' TERM
busybox sleep 1000 &
wait
`

// Daemon is one containerd.
type Daemon struct {
	*testhost.Place
	// Env is added to the environment of the daemon, and so of the runtimes that its shims call.
	Env      []string
	programs string
	cmd      *exec.Cmd
	log      *os.File
	exited   chan struct{} // closed then
}

// New finds the programs. Nothing runs yet.
func New(place *testhost.Place) (*Daemon, error) {
	d := &Daemon{Place: place}
	var err error
	if d.programs, err = testhost.FindContainerd(); err != nil {
		return d, err
	}
	d.log, err = os.Create(place.Path("containerd.log"))
	return d, err
}

// Config is its configuration's file.
func (d *Daemon) Config() string { return d.Path("containerd.toml") }

// Socket is where its CRI answers.
func (d *Daemon) Socket() string { return "unix://" + d.Path("sock") }

// Configure writes the configuration, with runtime handlers by their names. Nothing of it is below /etc, /opt or /run of the
// host. Networks are what DIR/cni has.
func (d *Daemon) Configure(handlers map[string]string) error {
	var handled strings.Builder
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		fmt.Fprintf(&handled, `
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.%s]
runtime_type = 'io.containerd.runc.v2'
pod_annotations = ['rtshield.io/*', '*.rtshield.io/*']
container_annotations = ['rtshield.io/*', '*.rtshield.io/*']
options = {BinaryName = '%s', Root = '%s', SystemdCgroup = false}
`, name, handlers[name], d.Path("runc"))
	}
	text := strings.NewReplacer("DIR", d.Dir, "IMAGE", Image).Replace(`version = 4
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
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['DIR/cni']
conf_dir = 'DIR/cni'
use_internal_loopback = true
`)
	return os.WriteFile(d.Config(), []byte(text+handled.String()), 0o644)
}

// Start starts it; its CRI answers a little later. It ends with the thread that called: see runtime.LockOSThread.
func (d *Daemon) Start() error {
	cmd := exec.Command(filepath.Join(d.programs, "containerd"), "--config", d.Config())
	cmd.Env = append(append(os.Environ(), "PATH="+d.programs+":"+os.Getenv("PATH")), d.Env...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	// Ctrl-C is for us; and it ends with us, also in a panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// Kill9 ends it as a crash does. Its shims live on. Twice is no error.
func (d *Daemon) Kill9() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// Import brings the image in. Files, by their path, are programs in it beside Loop and busybox's applets.
func (d *Daemon) Import(files map[string]string, applets ...string) error {
	all := map[string]string{Loop: loopScript}
	maps.Copy(all, files)
	tree, err := testhost.Busybox(all, applets...)
	if err != nil {
		return err
	}
	archive, err := testhost.Archive(Image, tree, Loop)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(d.programs, "ctr"), "--address", d.Path("sock"), "--namespace", "k8s.io",
		"images", "import", "--local", "--snapshotter", "native", "-")
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return nil
}

// Stop ends it, if it runs.
func (d *Daemon) Stop() {
	if d.cmd != nil {
		d.Kill9()
	}
	if d.log != nil {
		_ = d.log.Close()
	}
}

// LastWords are the end of its log.
func (d *Daemon) LastWords() string {
	text, _ := os.ReadFile(d.Path("containerd.log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
