package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// pages gives the man pages, as `make man` has them.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name := range manPages(administrator()) {
		text, err := shown(t, "help", name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = text
	}
	return found
}

// rendered gives a page as man(1) shows it, on lines that are wide enough for all. A warning of groff's fails the test.
func rendered(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("man", "--warnings=w", "-l", file)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=400", "MANROFFOPT=", "MANOPT=")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Errorf("man: %v\n%s", err, complaints.String())
	}
	return string(out)
}

func TestTheManPageHasEveryCommandAndFlag(t *testing.T) {
	page := rendered(t, pages(t)["rtshield.8"])
	app := administrator()
	app.Setup()
	count := 0
	var look func(above string, commands []*cli.Command)
	look = func(above string, commands []*cli.Command) {
		for _, command := range commands {
			name := above + " " + command.Name
			_, part, found := strings.Cut(page, "\n   "+name)
			if found == command.Hidden {
				t.Errorf("%s is hidden: %t, in the page: %t", name, command.Hidden, found)
				continue
			}
			part, _, _ = strings.Cut(part, "\n   rtshield ")
			for _, flag := range command.VisibleFlags() {
				count++
				if !strings.Contains(part, "\n       --"+flag.Names()[0]) {
					t.Errorf("%s: the page has no --%s", name, flag.Names()[0])
				}
			}
			if !strings.Contains(part, command.Usage) {
				t.Errorf("%s: the page does not say %q", name, command.Usage)
			}
			look(name, command.Subcommands)
		}
	}
	look("rtshield", app.Commands)
	if count < 40 {
		t.Errorf("only %d flags were looked for", count)
	}
	for _, words := range []string{"rtshield - a drop-in OCI runtime", "EXIT STATUS", "jq '.cpus[] | select(.use == \"free\") | .cpu'"} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %s", words)
		}
	}
}

func TestThePolicyFileHasAManPage(t *testing.T) {
	page := rendered(t, pages(t)["rtshield.toml.5"])
	for _, words := range []string{"/etc/rtshield/config.toml", "exec_cpus", `Values: "container", "housekeeping"`, "rtshield.io/hugepages", "500µs/1ms/1ms"} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %s", words)
		}
	}
}
