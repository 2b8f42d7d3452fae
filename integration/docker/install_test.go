package docker_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// reload makes the daemon read its file, and waits until it knows the runtime, or does not.
func reload(t *testing.T, runtime string, known bool) {
	t.Helper()
	if err := engine.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testhost.Eventually(t, patience, func() error {
		names := strings.Fields(ok(t, "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"))
		if slices.Contains(names, runtime) != known {
			return fmt.Errorf("the daemon knows %q", names)
		}
		return nil
	})
}

// asAdmin runs install or uninstall on the daemon's file.
func asAdmin(t *testing.T, args ...string) string {
	t.Helper()
	out, err := engine.admin(append(args, "--config", engine.path("daemon.json"))...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestInstallIsAllThatDockerNeeds(t *testing.T) {
	unchanged(t)
	file := engine.path("daemon.json")
	before := read(t, file)
	t.Cleanup(func() {
		if now, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(now)) != before {
			t.Errorf("daemon.json was %s and is %s, %v", before, now, err)
			_ = os.WriteFile(file, []byte(before), 0o644)
			reload(t, "installed", false)
		}
	})
	asAdmin(t, "install", "docker", "--name", "installed", "--class", "fifo", "--dry-run")
	if now := read(t, file); now != before {
		t.Fatalf("--dry-run wrote %s", now)
	}
	asAdmin(t, "install", "docker", "--name", "installed", "--class", "fifo")
	reload(t, "installed-fifo", true) // all that systemctl reload does
	for runtime, want := range map[string]string{"installed": ordinary(), "installed-fifo": fifo(), "rtshield-fifo": fifo()} {
		if got := told(t, ok(t, args(runtime, "--rm", img, "sh", "-c", tell)...)); got != want {
			t.Errorf("%s runs %s, want %s", runtime, got, want)
		}
	}
	killDaemon(t) // and it starts with the file
	if err := engine.launch(); err != nil {
		t.Fatalf("%v\n%s", err, engine.lastWords())
	}
	if got := told(t, ok(t, args("installed-fifo", "--rm", img, "sh", "-c", tell)...)); got != fifo() {
		t.Errorf("after a start of the daemon it runs %s, want %s", got, fifo())
	}
	asAdmin(t, "uninstall", "docker")
	reload(t, "installed-fifo", false)
	if _, err := os.Stat(engine.path("bin/rtshield-fifo")); err != nil {
		t.Errorf("uninstall took a link away that was there before: %v", err)
	}
}
