package rig

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/demo/bundle"
)

// Edit changes a bundle's config.json.
type Edit func(*specs.Spec)

// Bundle makes a bundle whose container sleeps, in a cgroup of its id below CgroupParent.
func (r *Rig) Bundle(id string, edits ...Edit) string {
	r.Helper()
	dir := filepath.Join(r.Dir, "bundle-"+id)
	err := bundle.New(dir, r.rootfs, r.Runc, func(spec *specs.Spec) {
		spec.Hostname = "test"
		// Its name is busybox: a machine that happens to run a sleep has that exempt.
		spec.Process.Args = []string{"/bin/busybox", "sleep", "60"}
		spec.Linux.CgroupsPath = CgroupParent + "/" + id
		for _, edit := range edits {
			edit(spec)
		}
	})
	if err != nil {
		r.Fatal(err)
	}
	return dir
}

// Args is what the container runs.
func Args(args ...string) Edit { return func(s *specs.Spec) { s.Process.Args = args } }

// Annotate adds annotations, given as key and value in turn. Keys without a domain are rtshield's.
func Annotate(pairs ...string) Edit {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			s.Annotations["rtshield.io/"+pairs[i]] = pairs[i+1]
		}
	}
}

// Class asks for a class.
func Class(name string) Edit { return Annotate("class", name) }

// CPU gives linux.resources.cpu to a function that changes it.
func CPU(edit func(*specs.LinuxCPU)) Edit {
	return func(s *specs.Spec) {
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		if s.Linux.Resources.CPU == nil {
			s.Linux.Resources.CPU = &specs.LinuxCPU{}
		}
		edit(s.Linux.Resources.CPU)
	}
}

// CPUs is the cpuset that an engine would write.
func CPUs(list string) Edit { return CPU(func(cpu *specs.LinuxCPU) { cpu.Cpus = list }) }

// Config reads a bundle's config.json, Raw its bytes.
func (r *Rig) Config(bundle string) *specs.Spec {
	r.Helper()
	spec := &specs.Spec{}
	if err := json.Unmarshal([]byte(r.Raw(bundle)), spec); err != nil {
		r.Fatalf("%s: %v", bundle, err)
	}
	return spec
}

// Raw gives the bytes of a bundle's config.json.
func (r *Rig) Raw(bundle string) string {
	r.Helper()
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		r.Fatal(err)
	}
	return string(data)
}

// Change is a user who edits config.json as it stands in the bundle.
func (r *Rig) Change(bundle string, edits ...Edit) {
	r.Helper()
	spec := r.Config(bundle)
	for _, edit := range edits {
		edit(spec)
	}
	data, err := json.MarshalIndent(spec, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// Files lists a bundle's directory.
func (r *Rig) Files(bundle string) []string {
	r.Helper()
	entries, err := os.ReadDir(bundle)
	if err != nil {
		r.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
