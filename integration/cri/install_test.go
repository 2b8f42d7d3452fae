package cri_test

import (
	"os"
	"testing"
)

// restart starts containerd anew, with what its file says now.
func restart(t *testing.T) {
	t.Helper()
	engine.Kill9()
	if err := engine.launch(); err != nil {
		t.Fatalf("%v\n%s", err, engine.LastWords())
	}
}

func TestInstallIsAllThatContainerdNeeds(t *testing.T) {
	unchanged(t)
	file := engine.Config()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if now, err := os.ReadFile(file); err != nil || string(now) != string(before) {
			t.Errorf("%s is not what it was, %v:\n%s", file, err, now)
			_ = os.WriteFile(file, before, 0o644)
			restart(t)
		}
	})
	for _, verb := range [][]string{{"install", "containerd", "--name", "installed", "--class", "fifo"}, {"uninstall", "containerd"}} {
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
}
