//go:build vmguest

package systemd_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestInstallMakesTheServiceReadItsConfiguration(t *testing.T) {
	unchanged(t)
	const file = "/etc/docker/daemon.json"
	before := text(t, file)
	// dockerd is asked to reload, and not waited for.
	knows := func(want bool) {
		t.Helper()
		eventually(t, func() error {
			names := strings.Fields(run(t, "docker", "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"))
			if slices.Contains(names, "installed-fifo") != want || !slices.Contains(names, "rtshield-fifo") {
				return fmt.Errorf("docker knows %q", names)
			}
			return nil
		})
	}
	run(t, "rtshield", "install", "docker", "--name", "installed", "--class", "fifo", "--restart")
	knows(true)
	c := start(t, "--runtime=installed-fifo")
	c.holds(t, "by the name that install has made")
	run(t, "docker", "stop", c.id)
	ended(t)
	run(t, "rtshield", "uninstall", "docker", "--restart")
	if now := text(t, file); now != before {
		t.Errorf("%s was\n%s\nand is\n%s", file, before, now)
	}
	for _, path := range []string{file + ".rtshield", file + ".before-rtshield"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	knows(false)
}
