// Package crio runs a real CRI-O for the suites, with everything in one directory.
package crio

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/integration/testhost"
)

// Daemon is one CRI-O.
type Daemon struct {
	*testhost.Daemon
	programs string
}

// New finds the programs. Nothing runs yet.
func New(place *testhost.Place) (*Daemon, error) {
	programs, err := testhost.FindCRIO()
	if err != nil {
		return nil, err
	}
	daemon, err := testhost.NewDaemon(place)
	return &Daemon{daemon, programs}, err
}

// Config is its configuration's file; drop-ins are in the directory of this name with .d.
func (d *Daemon) Config() string { return d.Path("crio.conf") }

// Socket is where its CRI answers.
func (d *Daemon) Socket() string { return "unix://" + d.Path("sock") }

// Configure writes the configuration, with runtime handlers by their names; the default is runc. Nothing of it is below /etc,
// /var or /run of the host, and nothing of the host is set: no iptables, and not irqbalance's configuration.
//
// A pod has a process of its own ("infra") only if its containers share its PID namespace: drop_infra_ctr is CRI-O's default.
func (d *Daemon) Configure(handlers map[string]string) error {
	monitor, err := exec.LookPath("conmon")
	if err != nil {
		return fmt.Errorf("%w: install conmon (make setup)", err)
	}
	var handled strings.Builder
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		// conmon gets this environment, and not CRI-O's.
		fmt.Fprintf(&handled, `
[crio.runtime.runtimes.%s]
runtime_path = %q
runtime_type = "oci"
runtime_root = %q
monitor_path = %q
monitor_cgroup = "pod"
monitor_env = %s
`, name, handlers[name], d.Path("runc"), monitor, list(append([]string{"PATH=" + os.Getenv("PATH")}, d.Env...)))
	}
	text := strings.NewReplacer("DIR", d.Dir, "PROGRAMS", d.programs, "IMAGE", testhost.Image, "REST", testhost.Rest).Replace(`[crio]
root = "DIR/storage"
runroot = "DIR/run"
storage_driver = "vfs"
log_dir = "DIR/log"
version_file = "DIR/version"
version_file_persist = "DIR/version.persist"
clean_shutdown_file = ""
[crio.api]
listen = "DIR/sock"
stream_address = "127.0.0.1"
stream_port = "0"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
namespaces_dir = "DIR/ns"
pinns_path = "PROGRAMS/pinns"
container_exits_dir = "DIR/exits"
container_attach_socket_dir = "DIR/attach"
hooks_dir = ["DIR/hooks"]
cdi_spec_dirs = ["DIR/cdi"]
apparmor_profile = "unconfined"
default_mounts_file = "DIR/mounts"
irqbalance_config_file = "DIR/irqbalance"
irqbalance_config_restore_file = "disable"
disable_hostport_mapping = true
log_level = "info"
[crio.image]
pause_image = "IMAGE"
pause_command = "REST"
signature_policy = "DIR/policy.json"
[crio.network]
network_dir = "DIR/cni"
plugin_dirs = ["DIR/cni"]
[crio.nri]
enable_nri = false
`)
	for file, content := range map[string]string{d.Config(): text + handled.String(), d.Path("policy.json"): `{"default": [{"type": "insecureAcceptAnything"}]}`} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func list(words []string) string {
	var quoted []string
	for _, word := range words {
		quoted = append(quoted, fmt.Sprintf("%q", word))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Start starts it; its CRI answers a little later.
func (d *Daemon) Start() error {
	return d.Run(filepath.Join(d.programs, "crio"), "--config", d.Config(), "--config-dir", d.Config()+".d")
}

// Import brings the image in, before Start: CRI-O itself can only pull, and shares its store with Podman. Files, by their path,
// are programs in it beside testhost.Rest and busybox's applets.
func (d *Daemon) Import(files map[string]string, applets ...string) error {
	archive, err := testhost.PodImage(files, applets...)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{d.Path("image.tar"): archive, d.Path("containers.conf"): []byte("[engine]\nlock_type = \"file\"\n")} {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.Command("podman", "--root", d.Path("storage"), "--runroot", d.Path("run"), "--tmpdir", d.Path("podman"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "load", "--input", d.Path("image.tar"))
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+d.Path("containers.conf"), "HOME="+d.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	return nil
}
