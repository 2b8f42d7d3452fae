package cri_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/node"
)

// equipment is what rtshield-node works with on this host. The engine is no service: whoever would ask systemd to restart it
// restarts it, and counts that.
func equipment(t *testing.T, restarts *int) node.Node {
	t.Helper()
	binary, err := testhost.FindRtshield()
	if err != nil {
		t.Fatal(err)
	}
	image := t.TempDir()
	text, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(filepath.Join(image, "rtshield"), text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return node.Node{
		Root: "/", Dir: engine.Path("node"), Image: image, Engine: engine.name, Config: engine.Config(), Classes: []string{"fifo"},
		Log: func(line string) { t.Log(line) },
		Run: func(_ context.Context, argv ...string) (string, error) {
			if argv[0] == "systemctl" {
				if argv[1] == "restart" {
					*restarts++
					restart(t)
				}
				return "", nil
			}
			if argv[0] == "systemd-run" { // this process is in the host's namespaces already
				argv = argv[slices.IndexFunc(argv, filepath.IsAbs):]
			}
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = append(os.Environ(), engine.policy.Env())
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%v: %w: %s", argv, err, out)
			}
			return string(out), err
		},
	}
}

func TestAnUpgradeOfTheNodeDisturbsNoShieldedPod(t *testing.T) {
	each(t, func(t *testing.T) {
		file := engine.Config()
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		restarts := 0
		n := equipment(t, &restarts)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		// Its name is taken by the suite's own, which goes meanwhile.
		must(os.WriteFile(file, bytes.ReplaceAll(before, []byte("runtimes.rtshield"), []byte("runtimes.suites")), 0o644))
		own, err := os.ReadFile(file)
		must(err)
		t.Cleanup(func() {
			if err := errors.Join(os.WriteFile(file, before, 0o644), os.RemoveAll(n.Dir)); err != nil {
				t.Error(err)
			}
			restart(t)
		})
		must(n.Install(context.Background()))
		must(n.Install(context.Background()))
		must(n.Check(context.Background()))

		p := runPod(t, "rtshield-fifo", nil)
		c := p.start(static(shielded()), loop)
		p.holds("before the upgrade", c)
		// What tells that the container needs the program: internal/node, users.
		pattern := engine.Path("state") + "/io.containerd.runtime.v2.task/*/" + c.id + "/options.json"
		if engine.name == crioName {
			pattern = fmt.Sprintf("/proc/%d/cmdline", ofParent(t, c.pid()))
		}
		notes, err := filepath.Glob(pattern)
		if err != nil || len(notes) != 1 {
			t.Fatalf("%q, %v", notes, err)
		}
		if text, err := os.ReadFile(notes[0]); err != nil || !strings.Contains(string(text), n.Dir+"/bin/rtshield-fifo") {
			t.Errorf("%s, %v", text, err)
		}

		program, err := os.OpenFile(filepath.Join(n.Image, "rtshield"), os.O_APPEND|os.O_WRONLY, 0)
		must(err)
		_, err = program.WriteString("another version")
		must(errors.Join(err, program.Close()))
		must(n.Install(context.Background()))
		p.holds("after the upgrade", c)
		if restarts != 1 {
			t.Errorf("the engine was restarted %d times", restarts)
		}
		if out, _, err := c.probe(patience, "/bin/echo", "alive"); err != nil || !strings.Contains(out, "alive") {
			t.Errorf("a probe: %q, %v", out, err)
		}
		must(c.update(static(shielded())))
		p.holds("after an update by the new program", c)
		c.stop()
		p.remove()
		nothing(t, "after the pod")

		must(n.Remove(context.Background()))
		if now, err := os.ReadFile(file); err != nil || string(now) != string(own) {
			t.Errorf("the configuration is not as before: %v\n%s", err, now)
		}
		if left, _ := filepath.Glob(n.Dir + "*"); len(left) > 0 || restarts != 2 {
			t.Errorf("left: %q, restarts: %d", left, restarts)
		}
	})
}
