package latency

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestAContainerSeesTheHostsProgramsReadOnlyAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	mounts, err := makeRoot(dir, "/usr/bin/cyclictest")
	if err != nil {
		t.Fatal(err)
	}
	if err := (bundle{dir: filepath.Join(dir, "b"), args: []string{"x"}, cpus: "1", cgroup: "/c"}).write(dir, mounts); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "b/config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Root struct {
			Path     string
			Readonly bool
		}
		Mounts []struct {
			Destination, Type string
			Options           []string
		}
		Linux struct {
			CgroupsPath string
			Resources   struct{ CPU struct{ Cpus string } }
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if !config.Root.Readonly || config.Root.Path != dir || config.Linux.CgroupsPath != "/c" || config.Linux.Resources.CPU.Cpus != "1" {
		t.Errorf("%+v", config)
	}
	seen := map[string]bool{}
	for _, mount := range config.Mounts {
		seen[mount.Destination] = true
		if mount.Type == "bind" && (len(mount.Options) != 2 || mount.Options[1] != "ro") {
			t.Errorf("%s may be written: %q", mount.Destination, mount.Options)
		}
	}
	for path, want := range map[string]bool{"/usr": true, "/etc": true, "/proc": true, "/root": false, "/home": false, "/var": false, "/run": false} {
		if seen[path] != want {
			t.Errorf("%s is there: %v", path, seen[path])
		}
	}
	// A merged /usr: its links are the same inside.
	if target, err := os.Readlink("/bin"); err == nil {
		if inside, err := os.Readlink(filepath.Join(dir, "bin")); err != nil || inside != target {
			t.Errorf("/bin is a link to %q, %v", inside, err)
		}
	}
}
