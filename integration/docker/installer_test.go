package docker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The image of deploy/ from stand-ins for its programs: what is held here is that nothing is pulled or run to build it.
func TestTheInstallersImageIsBuiltWithoutAPull(t *testing.T) {
	unchanged(t)
	dockerfile, err := filepath.Abs("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := []string{"rtshield", "rtshield-node", "runc", "LICENSE"}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const image = "installer"
	if out, err := engine.cli("build", "--network=none", "-t", image, "-f", dockerfile, dir).succeeded(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _, _ = engine.cli("rmi", "-f", image).succeeded() })
	out, err := engine.cli("image", "inspect", "--format", "{{json .Config.Entrypoint}} {{len .RootFS.Layers}}", image).succeeded()
	if err != nil || strings.TrimSpace(out) != `["/rtshield-node"] 1` {
		t.Errorf("%q, %v", out, err)
	}
}
