//go:build vmguest

package systemd_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	containerdConfig = "/etc/containerd/config.toml"
	// features is where Node Feature Discovery reads the labels of a node that is told none by the API server.
	features = "/etc/kubernetes/node-feature-discovery/features.d"
	labels   = features + "/rtshield"
	// podCPUs are both threads of a core: rtshield keeps no sibling idle beside CPUs that the engine chose.
	podCPUs = "6-7"
)

// daemonSet is what a DaemonSet says of its one container.
type daemonSet struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct{ Template struct{ Spec podSpec } }
}

type podSpec struct {
	HostPID    bool `yaml:"hostPID"`
	Containers []struct {
		Args            []string
		SecurityContext struct {
			RunAsUser                int  `yaml:"runAsUser"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			Capabilities             struct{ Drop, Add []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name     string
		HostPath *struct{ Path string } `yaml:"hostPath"`
	}
}

// manifest gives the pod of a DaemonSet of deploy/base.
func manifest(t *testing.T, name string) podSpec {
	t.Helper()
	file, err := os.Open("/guest/daemonsets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for decoder := yaml.NewDecoder(file); ; {
		var set daemonSet
		if err := decoder.Decode(&set); errors.Is(err, io.EOF) {
			t.Fatalf("deploy/base has no DaemonSet %s", name)
		} else if err != nil {
			t.Fatal(err)
		}
		if set.Kind == "DaemonSet" && set.Metadata.Name == name {
			return set.Spec.Template.Spec
		}
	}
}

// installer is the image of deploy/Dockerfile, unpacked.
type installer struct {
	*testing.T
	image string
}

func newInstaller(t *testing.T) installer {
	t.Helper()
	i := installer{t, t.TempDir()}
	for name, from := range map[string]string{"rtshield": "/usr/local/bin/rtshield", "rtshield-node": "/guest/rtshield-node", "runc": "/usr/local/bin/runc"} {
		content, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(i.image, name), content, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"host", "proc", "dev", "policy"} {
		if err := os.Mkdir(filepath.Join(i.image, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// start runs the container of a DaemonSet by containerd, with the mounts that the manifest has, and gives what ends it as the
// kubelet does and tells what it said.
func (i installer) start(set string) (stop func() string) {
	i.Helper()
	pod := manifest(i.T, set)
	container := pod.Containers[0]
	type object map[string]any
	mounts := []object{{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}}
	for _, mount := range container.VolumeMounts {
		for _, volume := range pod.Volumes {
			if volume.Name == mount.Name && volume.HostPath != nil { // the other is a ConfigMap that need not be there
				mounts = append(mounts, object{"destination": mount.MountPath, "type": "bind", "source": volume.HostPath.Path, "options": []string{"rbind", "rslave"}})
			}
		}
	}
	namespaces := []object{{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}}
	if !pod.HostPID {
		namespaces = append(namespaces, object{"type": "pid"})
	}
	var capabilities []string
	for _, name := range container.SecurityContext.Capabilities.Add {
		capabilities = append(capabilities, "CAP_"+name)
	}
	spec, err := json.Marshal(object{
		"ociVersion": "1.1.0", "hostname": "node",
		"root": object{"path": i.image, "readonly": container.SecurityContext.ReadOnlyRootFilesystem},
		"process": object{
			"args": append([]string{"/rtshield-node"}, append(slices.Clone(container.Args), "--every=1s")...),
			"env":  []string{"PATH=/", "NODE_NAME=n1"}, "cwd": "/",
			"user":            object{"uid": container.SecurityContext.RunAsUser, "gid": 0},
			"noNewPrivileges": !container.SecurityContext.AllowPrivilegeEscalation,
			"capabilities":    object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
		},
		"mounts": mounts,
		"linux":  object{"namespaces": namespaces, "cgroupsPath": "/system.slice/" + set},
	})
	dir := i.TempDir()
	config, log := filepath.Join(dir, "config.json"), filepath.Join(dir, "log")
	if err := errors.Join(err, os.WriteFile(config, spec, 0o600), os.WriteFile(log, nil, 0o600)); err != nil {
		i.Fatal(err)
	}
	ctr := []string{"ctr", "--namespace", "rtshield-test"}
	run(i.T, append(ctr, "run", "--detach", "--log-uri", "file://"+log, "--config", config, set)...)
	ended := false
	end := func() string {
		ended = true
		_, _ = command(nil, append(ctr, "tasks", "kill", "--signal", "SIGTERM", set)...) // it may have ended by itself
		eventually(i.T, func() error {
			_, err := command(nil, append(ctr, "tasks", "delete", set)...)
			return err
		})
		run(i.T, append(ctr, "containers", "delete", set)...)
		return text(i.T, log)
	}
	i.Cleanup(func() {
		if !ended {
			i.Logf("%s said:\n%s", set, end())
		}
	})
	return end
}

// told waits until the labels hold something, or are gone: "".
func (i installer) told(what string) {
	i.Helper()
	eventually(i.T, func() error {
		now, err := os.ReadFile(labels)
		if what == "" && errors.Is(err, fs.ErrNotExist) || what != "" && strings.Contains(string(now), what+"\n") {
			return nil
		}
		return errors.New("the labels are " + string(now))
	})
}

// equip runs the installer's container until the node is ready, and gives what it said.
func (i installer) equip() string {
	i.Helper()
	_ = os.Remove(labels) // of an earlier one
	stop := i.start("rtshield-node")
	i.told("rtshield.io/ready=true")
	return stop()
}

// files are modes and texts of all below directories that need not be there.
func files(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			all[path] = info.Mode().String()
			if info.Mode().IsRegular() {
				text, err := os.ReadFile(path)
				all[path] += " " + string(text)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A host on which containerd is a service of systemd's, with systemd's cgroups, as kubeadm's page has it. The DaemonSet's
// container restarts the service that it runs in itself.
func TestTheDaemonSetsContainerEquipsANodeAndLeavesItAsItWas(t *testing.T) {
	debians := text(t, containerdConfig) + "\n"
	configure := func(content string) {
		if err := os.WriteFile(containerdConfig, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "systemctl", "restart", "containerd.service")
	}
	t.Cleanup(func() {
		configure(debians)
		restartDocker(t)
	})
	configure(`version = 2 # as kubeadm's page has it

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + podImage + `"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
`)
	if err := os.MkdirAll(features, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll("/etc/kubernetes") })
	k := newKubelet(t)
	first, err := k.start("runc", podCPUs) // and with it, systemd makes what it makes once
	if err != nil {
		t.Fatal(err)
	}
	first.remove()
	unchanged(t)

	places := []string{"/etc/containerd", "/etc/rtshield", "/opt"}
	before := files(t, places...)
	invocation := func() string {
		return run(t, "systemctl", "show", "--property=InvocationID", "--value", "containerd.service")
	}
	began := invocation()
	i := newInstaller(t)
	said := i.equip()
	installed, restarted := files(t, places...), invocation()
	if restarted == began || !strings.Contains(said, "restarted containerd") {
		t.Errorf("containerd has not been restarted:\n%s", said)
	}
	if maps.Equal(before, installed) {
		t.Fatalf("nothing was installed:\n%s", said)
	}

	p, err := k.start("rtshield-fifo", podCPUs)
	if err != nil {
		t.Fatal(err)
	}
	p.holds("once installed")

	same := func(when string, want map[string]string) {
		t.Helper()
		now := files(t, places...)
		for _, path := range slices.Sorted(maps.Keys(want)) {
			if now[path] != want[path] {
				t.Errorf("%s: %s is\n%.2000q\nwant\n%.2000q", when, path, now[path], want[path])
			}
		}
		for path := range now {
			if _, known := want[path]; !known {
				t.Errorf("%s: %s is new", when, path)
			}
		}
		if invocation() != restarted {
			t.Errorf("%s: containerd was restarted without need", when)
		}
	}
	i.equip()
	same("after the second time", installed)

	program, err := os.OpenFile(filepath.Join(i.image, "rtshield"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = program.WriteString("another version")
	if err := errors.Join(err, program.Close()); err != nil {
		t.Fatal(err)
	}
	i.equip()
	installed["/opt/rtshield/bin/rtshield"] += "another version"
	same("after the upgrade", installed)
	p.holds("after the upgrade")

	stop := i.start("rtshield-remove")
	i.told("rtshield.io/ready=false")
	time.Sleep(3 * time.Second) // it looks every second
	same("while the pod runs", installed)
	p.holds("while its runtime is to be removed")
	p.remove()
	i.told("")
	restarted = invocation()
	same("after remove", before)
	if said := stop(); !strings.Contains(said, "waiting: 2 container(s) of rtshield's still run: ") || !strings.Contains(said, p.id) { // with its pause container
		t.Errorf("remove said\n%s", said)
	}
	if late, err := k.start("rtshield-fifo", podCPUs); err == nil {
		late.remove()
		t.Error("after remove containerd still knows rtshield-fifo")
	}
	if last, err := k.start("runc", podCPUs); err != nil {
		t.Errorf("after remove: %v", err)
	} else {
		last.remove()
	}
	ended(t)
}
