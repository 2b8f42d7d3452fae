package packaging_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/testhost"
)

// fedora is a root directory of its own, with the directories that every system has, a shell for the package's scripts, and
// nothing else.
func fedora(t *testing.T) string {
	t.Helper()
	testhost.RequireRoot(t)
	root := t.TempDir()
	for _, dir := range []string{"bin", "etc", "run", "tmp", "var/tmp", "usr/bin", "usr/lib/systemd/system", "usr/share/licenses", "usr/share/man/man5", "usr/share/man/man8"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const null = 1<<8 | 3 // its major and minor number
	if err := errors.Join(os.Mkdir(filepath.Join(root, "dev"), 0o755), unix.Mknod(filepath.Join(root, "dev/null"), unix.S_IFCHR|0o666, null)); err != nil {
		t.Fatal(err)
	}
	tree, err := testhost.Busybox(nil, "sh", "grep", "rm")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "-x", "-C", root)
	cmd.Stdin = strings.NewReader(string(tree))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	return root
}

func TestAnRPMComesAndGoes(t *testing.T) {
	root := fedora(t)
	name := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	file := filepath.Join(packages(t), "packages/rtshield-1.2.3-1."+name+".rpm")
	rpm := func(words ...string) string {
		return must(t, "/", append([]string{"rpm", "--root", root}, words...)...)
	}
	rpm("--initdb")
	everywhere := func() []string {
		list := below(t, true, root)
		return slices.DeleteFunc(list, func(path string) bool { return strings.Contains(path, "/rpm") }) // its database
	}
	before := everywhere()
	rpm("--install", "--nodeps", file) // the root has a shell, but no package that provides it
	added := without(everywhere(), before)
	for _, want := range []string{"/usr/bin/rtshield", "/usr/bin/rtshield-rr", "/usr/lib/systemd/system/" + unit, "/usr/share/man/man5/rtshield.toml.5.gz",
		"/usr/share/licenses/rtshield/LICENSE", "/usr/share/zsh/site-functions/_rtshield"} {
		if !slices.Contains(added, root+want) {
			t.Errorf("the package has not put %s there", want)
		}
	}
	program := filepath.Join(root, "usr/bin/rtshield")
	if out := must(t, "/", program, "--version"); !strings.Contains(out, "rtshield "+version) {
		t.Errorf("the program that was installed is %s", out)
	}
	if out := rpm("--query", "--recommends", "--requires", "rtshield"); !strings.Contains(out, "(runc or crun)") {
		t.Errorf("the package asks for %s", out)
	}
	rpm("--verify", "--nodeps", "rtshield")
	refusesWhileHeld(t, root, program)
	rpm("--erase", "rtshield")
	after := everywhere()
	if left, gone := without(after, before), without(before, after); len(left)+len(gone) > 0 {
		t.Errorf("erased, the package has left %q and taken %q", left, gone)
	}
}

// refusesWhileHeld puts a program in rtshield's place that tells of a container which holds CPUs.
func refusesWhileHeld(t *testing.T, root, program string) {
	t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	put := func(content string) {
		if err := os.WriteFile(program, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put("#!/bin/sh\necho 'rtshield_container_info{id=\"web\"} 1'\n")
	out, err := run("/", "rpm", "--root", root, "--erase", "rtshield")
	if _, gone := os.Stat(program); err == nil || gone != nil || !strings.Contains(out, "containers hold CPUs: end them") {
		t.Errorf("the package went while a container held CPUs: %v %s", err, out)
	}
	put(string(content))
}
