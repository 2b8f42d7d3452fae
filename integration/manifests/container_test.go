package manifests_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

// features is where the labels are told to Node Feature Discovery.
const features = "etc/kubernetes/node-feature-discovery/features.d/rtshield"

// metrics is what the node exporter reads.
const metrics = "var/lib/node_exporter/textfile_collector/rtshield.prom"

// machine is a host in a directory: a containerd's or CRI-O's configuration, a systemctl that notes what it is told, a
// systemd-run, Node Feature Discovery and a node exporter. It has no runc.
type machine struct {
	t         *testing.T
	dir       string
	rootfs    string
	pods      map[string]core.PodSpec // the DaemonSets', by their names
	installer *exec.Cmd
}

const systemctl = `#!/bin/sh
[ "$SYSTEMD_IGNORE_CHROOT" = 1 ] || { echo "Running in chroot, ignoring command '$1'" >&2; exit 0; }
case "$*" in
"is-active --quiet $(cat /run/active)") exit 0 ;;
"restart $(cat /run/active)") echo "$*" >>/run/restarts; exit 0 ;;
esac
exit 3
`

// systemdRun runs a service in the caller's own place.
const systemdRun = `#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
`

func newMachine(t *testing.T, overlay, from, etc, unit string) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("runs a container: run it as root")
	}
	m := &machine{t: t, dir: t.TempDir(), pods: map[string]core.PodSpec{}}
	objects := kustomize(t, overlay)
	for _, set := range []string{"rtshield-node", "rtshield-remove"} {
		m.pods[set] = only[*apps.DaemonSet](t, objects, set).Spec.Template.Spec
	}
	m.rootfs = image(t)
	shell, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	m.copy(shell, "bin/busybox")
	for _, applet := range []string{"sh", "cat"} {
		m.must(os.Symlink("busybox", m.path("bin/"+applet)))
	}
	m.put("usr/bin/systemctl", systemctl)
	m.put("usr/bin/systemd-run", systemdRun)
	m.put("run/active", unit)
	for _, dir := range []string{filepath.Dir(features), filepath.Dir(metrics), "proc", "sys", etc} {
		m.must(os.MkdirAll(m.path(dir), 0o755))
	}
	m.must(os.CopyFS(m.path(etc), os.DirFS(from)))
	for path, text := range m.tree() {
		if strings.HasPrefix(path, etc+"/") && strings.Contains(text, "DIR") {
			_, text, _ = strings.Cut(text, " ")
			m.put(path, strings.ReplaceAll(text, "DIR", "/"+etc))
		}
	}
	return m
}

// image is the root of the container, as the Dockerfile says.
func image(t *testing.T) string {
	t.Helper()
	programs := os.Getenv("RTSHIELD_IMAGE")
	if programs == "" {
		t.Fatal("RTSHIELD_IMAGE does not name the programs of the image: make k8stest")
	}
	dockerfile, err := os.ReadFile(deploy + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for line := range strings.Lines(string(dockerfile)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "COPY" {
			continue
		}
		for _, name := range words[1 : len(words)-1] {
			text, err := os.ReadFile(filepath.Join(programs, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(root, words[len(words)-1], name), text, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{"host", "proc", "dev", "policy"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) must(errs ...error) {
	m.t.Helper()
	if err := errors.Join(errs...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) put(name, text string) {
	m.t.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(m.path(name), []byte(text), 0o755))
}

func (m *machine) copy(from, to string) {
	m.t.Helper()
	text, err := os.ReadFile(from)
	m.must(err)
	m.put(to, string(text))
}

func (m *machine) read(name string) string {
	text, _ := os.ReadFile(m.path(name)) // none is ""
	return string(text)
}

// tree is all of the host but what is gone with a reboot: modes and texts, by paths below its root.
func (m *machine) tree() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	m.must(filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.dir+"/")
		if name == "run" {
			return fs.SkipDir
		}
		if strings.HasPrefix(entry.Name(), "."+filepath.Base(metrics)) { // about to become it
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			all[name] += " " + string(text)
			return err
		}
		return nil
	}))
	return all
}

func (m *machine) same(what string, want map[string]string) {
	m.t.Helper()
	got := m.tree()
	brief := func(text string) string { return text[:min(len(text), 2000)] }
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			m.t.Errorf("%s: %s is\n%q\nwant\n%q", what, path, brief(got[path]), brief(want[path]))
		}
	}
	for path := range got {
		if _, known := want[path]; !known {
			m.t.Errorf("%s: %s is new", what, path)
		}
	}
}

// bundle is the pod's container as the kubelet and an engine would have it made, with the host in place of /.
func (m *machine) bundle(set string) (dir string) {
	m.t.Helper()
	pod := m.pods[set]
	container := pod.Containers[0]
	var capabilities []string
	for _, name := range container.SecurityContext.Capabilities.Add {
		capabilities = append(capabilities, "CAP_"+string(name))
	}
	type object map[string]any
	mounts := []object{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
	}
	for _, mount := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == mount.Name })
		switch volume := pod.Volumes[i]; {
		case volume.HostPath != nil && volume.HostPath.Path == "/":
			bind := func(source, below string) object {
				return object{"destination": mount.MountPath + below, "type": "bind", "source": source, "options": []string{"rbind", "rslave"}}
			}
			mounts = append(mounts, bind(m.dir, ""), bind("/proc", "/proc"), bind("/sys", "/sys"))
		case volume.ConfigMap != nil && *volume.ConfigMap.Optional: // an empty directory
		default:
			m.t.Fatalf("volume %+v", volume)
		}
	}
	namespaces := []object{{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}}
	if !pod.HostPID {
		namespaces = append(namespaces, object{"type": "pid"})
	}
	config := object{
		"ociVersion": "1.2.0", "hostname": "node",
		"root": object{"path": m.rootfs, "readonly": *container.SecurityContext.ReadOnlyRootFilesystem},
		"process": object{
			"args": append([]string{"/rtshield-node"}, append(slices.Clone(container.Args), "--every=100ms")...),
			"env":  []string{"PATH=/", "NODE_NAME=n1"}, "cwd": "/",
			"user":            object{"uid": *container.SecurityContext.RunAsUser, "gid": 0},
			"noNewPrivileges": !*container.SecurityContext.AllowPrivilegeEscalation,
			"capabilities":    object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
		},
		"mounts": mounts,
		"linux":  object{"namespaces": namespaces, "cgroupsPath": "/rtshield-manifests-test"},
	}
	text, err := json.Marshal(config)
	m.must(err)
	dir = m.t.TempDir()
	m.must(os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
	return dir
}

// start runs the container of a DaemonSet's pod; what it gives stops it as the kubelet does, and tells what it said.
func (m *machine) start(set string) (stop func() (string, error)) {
	m.t.Helper()
	dir := m.bundle(set)
	cmd := exec.Command(filepath.Join(os.Getenv("RTSHIELD_IMAGE"), "runc"), "--root", filepath.Join(dir, "state"), "run", "--bundle", dir, "rtshield-manifests-test")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	m.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var once bool
	end := func() error {
		once = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			return errors.Join(errors.New("it did not end"), <-ended)
		}
	}
	m.t.Cleanup(func() {
		if !once {
			m.t.Logf("%v\n%s", end(), out.String())
		}
	})
	return func() (string, error) {
		err := end()
		return out.String(), err
	}
}

// until waits for something.
func (m *machine) until(what string, holds func() bool) {
	m.t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("%s: not within 20 s; labels:\n%s", what, m.read(features))
		}
	}
}

func (m *machine) ready() bool {
	return strings.Contains(m.read(metrics), "rtshield_node_ready 1\n") && strings.Contains(m.read(features), "rtshield.io/ready=true\n") && strings.Contains(m.read(features), "rtshield.io/free-cpus=")
}

func (m *machine) equip() (said string) {
	m.t.Helper()
	_ = os.Remove(m.path(features)) // of an earlier one
	_ = os.Remove(m.path(metrics))
	stop := m.start("rtshield-node")
	m.until("the node is ready", m.ready)
	said, err := stop()
	if err != nil {
		m.t.Fatalf("%v\n%s", err, said)
	}
	return said
}

func TestTheInstallersContainerEquipsAHostAndLeavesItAsItWas(t *testing.T) {
	type host struct{ overlay, from, etc, unit, program string }
	var hosts []host
	for _, corpus := range []host{
		{overlay: "containerd", from: "containerd", etc: "etc/containerd", unit: "containerd"},
		{overlay: "crio", from: "crio", etc: "etc/crio", unit: "crio"},
	} {
		cases, err := filepath.Glob("../../internal/engine/testdata/" + corpus.from + "/*")
		if err != nil || len(cases) < 2 {
			t.Fatalf("%v: %q", err, cases)
		}
		for _, from := range cases {
			if !strings.Contains(from, "k3s-template") {
				corpus.from = from
				hosts = append(hosts, corpus)
			}
		}
	}
	hosts = append(hosts, host{overlay: "k3s", from: "../../internal/engine/testdata/containerd/k3s-template-v3", etc: "var/lib/rancher/k3s/agent/etc/containerd", unit: "k3s-agent"})
	for _, h := range hosts {
		t.Run(h.overlay+"/"+filepath.Base(h.from), func(t *testing.T) {
			m := newMachine(t, h.overlay, h.from, h.etc, h.unit)
			before := m.tree()
			said := m.equip()
			installed := m.tree()
			restarts := "restart " + h.unit + "\n"
			if m.read("run/restarts") != restarts {
				t.Errorf("restarts: %q\n%s", m.read("run/restarts"), said)
			}
			for _, name := range []string{"rtshield", "rtshield-fifo", "rtshield-rr", "runc"} {
				if _, there := installed["opt/rtshield/bin/"+name]; !there {
					t.Errorf("there is no %s\n%s", name, said)
				}
			}
			names := 0
			for path, text := range installed {
				if strings.HasPrefix(path, h.etc) && strings.Contains(text, "/opt/rtshield/bin/rtshield-rr") && !strings.HasSuffix(path, ".rtshield") {
					names++
				}
			}
			if names != 1 {
				t.Errorf("%d files of the engine name it", names)
			}

			m.equip()
			m.same("after the second time", installed)

			// An upgrade, while a container of ours runs.
			const note = "run/containerd/io.containerd.runtime.v2.task/k8s.io/web/options.json"
			m.put(note, `{"binary_name":"/opt/rtshield/bin/rtshield-fifo"}`)
			program, err := os.OpenFile(filepath.Join(m.rootfs, "rtshield"), os.O_APPEND|os.O_WRONLY, 0)
			m.must(err)
			_, err = program.WriteString("another version")
			m.must(err, program.Close())
			m.equip()
			installed["opt/rtshield/bin/rtshield"] += "another version"
			m.same("after the upgrade", installed)
			if m.read("run/restarts") != restarts {
				t.Errorf("the engine was restarted without need: %q", m.read("run/restarts"))
			}

			stop := m.start("rtshield-remove")
			m.until("nothing more is scheduled", func() bool { return m.read(features) == "rtshield.io/ready=false\n" })
			m.until("metrics say nothing of ready", func() bool {
				text := m.read(metrics)
				return strings.Contains(text, "rtshield_cpus{") && !strings.Contains(text, "rtshield_node_ready")
			})
			for _, told := range []string{features, metrics} {
				installed[told] = m.tree()[told]
			}
			m.same("while the container runs", installed)
			m.must(os.Remove(m.path(note)))
			m.until("the labels are gone", func() bool { _, err := os.Stat(m.path(features)); return err != nil })
			m.same("after remove", before)
			said, err = stop()
			if left, _ := os.ReadDir(m.path(filepath.Dir(metrics))); len(left) > 0 {
				t.Errorf("the node exporter would still read %v", left)
			}
			if err != nil || m.read("run/restarts") != restarts+restarts || !strings.Contains(said, "waiting: 1 container(s) of rtshield's still run: web") {
				t.Errorf("%v, restarts: %q\n%s", err, m.read("run/restarts"), said)
			}
		})
	}
}

func TestAConfigurationThatSomebodyWritesAnewIsToldAndMendedByTheNextStart(t *testing.T) {
	m := newMachine(t, "containerd", "../../internal/engine/testdata/containerd/kubeadm-v3", "etc/containerd", "containerd")
	before := m.read("etc/containerd/config.toml")
	stop := m.start("rtshield-node")
	m.until("the node is ready", m.ready)
	m.put("etc/containerd/config.toml", before)
	m.until("the node is not ready", func() bool { return m.read(features) == "rtshield.io/ready=false\n" })
	if said, err := stop(); err == nil || !strings.Contains(said, "/etc/containerd/config.toml does not have rtshield as it was put there: somebody has written it anew") {
		t.Errorf("%v\n%s", err, said)
	}
	if text := m.read(metrics); !strings.Contains(text, "rtshield_node_ready 0\n") {
		t.Errorf("the node exporter would not tell that the node is not ready:\n%s", text)
	}
	m.equip()
	if m.read("run/restarts") != "restart containerd\nrestart containerd\n" {
		t.Errorf("%q", m.read("run/restarts"))
	}
}
