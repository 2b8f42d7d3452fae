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

	"github.com/rtshield/rtshield/integration/testhost"
)

// Daemon is one containerd.
type Daemon struct {
	*testhost.Daemon
	programs string
}

// New finds the programs. Nothing runs yet.
func New(place *testhost.Place) (*Daemon, error) {
	programs, err := testhost.FindContainerd()
	if err != nil {
		return nil, err
	}
	daemon, err := testhost.NewDaemon(place)
	return &Daemon{daemon, programs}, err
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
	text := strings.NewReplacer("DIR", d.Dir, "IMAGE", testhost.Image).Replace(`version = 4
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

// Start starts it; its CRI answers a little later.
func (d *Daemon) Start() error {
	return d.Run(filepath.Join(d.programs, "containerd"), "--config", d.Config())
}

// Import brings the image in. Files, by their path, are programs in it beside testhost.Rest and busybox's applets.
func (d *Daemon) Import(files map[string]string, applets ...string) error {
	archive, err := testhost.PodImage(files, applets...)
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
