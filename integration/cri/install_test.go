package cri_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// restart starts the engine anew, with what its files say now.
func restart(t *testing.T) {
	t.Helper()
	engine.Kill9()
	if err := engine.launch(); err != nil {
		t.Fatalf("%v\n%s", err, engine.LastWords())
	}
}

func TestInstallIsAllThatTheEngineNeeds(t *testing.T) {
	each(t, func(t *testing.T) {
		file := engine.Config()
		before := configured(t)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if lines := snapshot.Diff(before, configured(t)); len(lines) > 0 {
				t.Errorf("the configuration is not what it was: %q", lines)
				_ = os.WriteFile(file, text, 0o644)
				_ = os.RemoveAll(file + ".d")
				restart(t)
			}
		})
		for _, verb := range [][]string{{"install", engine.name, "--name", "installed", "--class", "fifo"}, {"uninstall", engine.name}} {
			if out, err := engine.admin(append(verb, "--config", file)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", verb, err, out)
			}
			restart(t)
			if verb[0] == "uninstall" {
				break
			}
			// By its name, and by annotations, which containerd passes on only if the entry says so.
			for handler, annotations := range map[string]map[string]string{
				"installed-fifo": nil, "installed": {"class.rtshield.io/app": "fifo"},
			} {
				p := runPod(t, handler, annotations)
				c := p.start(static(shielded()), loop)
				p.holds("with "+handler, c)
				c.stop()
				p.remove()
			}
		}
	})
}

// configured are the engine's files.
func configured(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	paths, err := filepath.Glob(engine.Config() + ".d/*")
	for _, path := range append(paths, engine.Config()) {
		text, readErr := os.ReadFile(path)
		if found[path] = string(text); readErr != nil {
			err = readErr
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}
