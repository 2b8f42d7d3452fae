//go:build vmguest

package guest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/demo/bundle"
)

const rootfs = "/tmp/rootfs"

// template is what the module's runc proposes.
var template []byte

func makeBundles() error {
	if err := bundle.RootFS(rootfs, "/bin/busybox", "bin/busybox", "bin/sh", "bin/sleep", "bin/cat", "bin/true"); err != nil {
		return err
	}
	dir := "/tmp/template"
	err := bundle.New(dir, rootfs, delegates[0].path, func(spec *specs.Spec) {
		spec.Version = "1.0.2" // crun 1.8.1 takes no later one
		spec.Process.Args = []string{"/bin/sleep", "600"}
		spec.Linux.Seccomp = nil
		// A network namespace's end takes the kernel seconds, for which the next container's start then waits.
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
			return n.Type == specs.NetworkNamespace
		})
	})
	if err != nil {
		return err
	}
	template, err = os.ReadFile(filepath.Join(dir, "config.json"))
	return err
}

type edit func(*specs.Spec)

// bundle makes a container's bundle: it sleeps, below parent.
func (r *rig) bundle(id string, edits ...edit) string {
	r.Helper()
	var spec specs.Spec
	if err := json.NewDecoder(bytes.NewReader(template)).Decode(&spec); err != nil {
		r.Fatal(err)
	}
	spec.Linux.CgroupsPath = parent + "/" + id
	spec.Annotations = map[string]string{"run.oci.hooks.stderr": r.hookErrors()} // crun says nothing of what a hook said
	for _, change := range edits {
		change(&spec)
	}
	data, err := json.Marshal(&spec)
	if err != nil {
		r.Fatal(err)
	}
	dir := filepath.Join(r.dir, "bundle-"+id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		r.Fatal(err)
	}
	return dir
}

func args(words ...string) edit { return func(s *specs.Spec) { s.Process.Args = words } }

// annotate adds rtshield's annotations, key and value in turn.
func annotate(pairs ...string) edit {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			s.Annotations["rtshield.io/"+pairs[i]] = pairs[i+1]
		}
	}
}

func class(name string) edit { return annotate("class", name) }

func cpus(list string) edit {
	return func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: list} }
}

// powerless gives a user namespace without any capability.
func powerless(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces,
		specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.NetworkNamespace}) // for sysfs
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	s.Process.Capabilities = &specs.LinuxCapabilities{}
	s.Process.NoNewPrivileges = true
}

// config reads a bundle back.
func (r *rig) config(dir string) *specs.Spec {
	r.Helper()
	spec := &specs.Spec{}
	if err := json.Unmarshal([]byte(text(r, filepath.Join(dir, "config.json"))), spec); err != nil {
		r.Fatal(err)
	}
	return spec
}
