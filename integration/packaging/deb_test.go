package packaging_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// places are where a package could leave something.
var places = []string{"/etc", "/opt", "/usr", "/var/lib/dpkg/info", "/var/lib/systemd", "/run/rtshield"}

// unit as systemctl names it.
const unit = "rtshield-reconcile.service"

// clean has nothing of the maker of this test in it: neither its paths nor its home.
func clean(command ...string) []string {
	return append([]string{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + work, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}, command...)
}

// TestADebianPackageComesAndGoes installs rtshield on this host.
func TestADebianPackageComesAndGoes(t *testing.T) {
	testhost.HostUnchanged(t)
	file := filepath.Join(packages(t), "packages/rtshield_1.2.3_"+runtime.GOARCH+".deb")
	for _, there := range []string{"/usr/bin/rtshield", "/var/lib/dpkg/info/rtshield.list"} {
		if _, err := os.Lstat(there); err == nil {
			t.Fatalf("%s is here already: this test would take it away, so remove it first (make uninstall PREFIX=/usr, dpkg --purge rtshield)", there)
		}
	}
	before := below(t, true, places...)
	t.Cleanup(func() {
		if _, err := os.Lstat("/var/lib/dpkg/info/rtshield.list"); err == nil {
			_, err := run("/", clean("dpkg", "--purge", "rtshield")...)
			t.Logf("purged after a failure: %v", err)
		}
	})
	dpkg := func(words ...string) string { return must(t, "/", clean(append([]string{"dpkg"}, words...)...)...) }
	dpkg("--install", file)
	if status := must(t, "/", "dpkg-query", "-W", "-f", "${Status} ${Version}|${Recommends}|${Depends}|${Conffiles}", "rtshield"); status != "install ok installed 1.2.3|runc | crun||" {
		t.Errorf("dpkg has it as %s", status)
	}
	inUse(t)
	enabled := func() bool {
		out, _ := run("/", "systemctl", "is-enabled", unit)
		return strings.TrimSpace(out) == "enabled"
	}
	if !enabled() {
		t.Errorf("%s is not enabled, as Debian's presets say", unit)
	}
	for _, by := range []string{"multi-user.target", "docker.service", "containerd.service", "crio.service", "podman.service"} {
		if _, err := os.Readlink("/etc/systemd/system/" + by + ".wants/" + unit); err != nil {
			t.Error(err)
		}
	}
	if out := must(t, "/", clean("systemd-analyze", "verify", unit)...); out != "" {
		t.Errorf("systemd says of %s: %s", unit, out)
	}
	if _, err := os.Stat("/run/rtshield"); (err == nil) != slices.Contains(before, "/run/rtshield") {
		t.Errorf("something ran when the package was installed: /run/rtshield: %v", err)
	}

	must(t, "/", "systemctl", "--no-reload", "--quiet", "disable", unit)
	dpkg("--install", file) // as an upgrade
	if enabled() {
		t.Errorf("an upgrade has enabled %s, which was disabled", unit)
	}
	must(t, "/", "systemctl", "--no-reload", "--quiet", "enable", unit)
	dpkg("--remove", "rtshield")
	if _, err := os.Lstat("/usr/bin/rtshield"); err == nil {
		t.Error("a removed package has left its program")
	}
	dpkg("--purge", "rtshield")
	after := below(t, true, places...)
	before = slices.DeleteFunc(before, func(path string) bool { return strings.HasPrefix(path, "/run/rtshield") }) // what an earlier run has left, without a ledger
	if left, gone := without(after, before), without(before, after); len(left)+len(gone) > 0 {
		t.Errorf("purged, the package has left %q and taken %q", left, gone)
	}
}

// inUse tries what somebody finds after the installation.
func inUse(t *testing.T) {
	t.Helper()
	for what, try := range map[string]struct {
		command []string
		want    string
	}{
		"the program":      {[]string{"rtshield", "--version"}, "rtshield " + version},
		"a link":           {[]string{"rtshield-fifo", "--version"}, "rtshield " + version},
		"a man page":       {[]string{"man", "8", "rtshield"}, "rtshield reconcile"},
		"the file's page":  {[]string{"man", "rtshield.toml"}, "exec_cpus"},
		"whatis":           {[]string{"lexgrog", "/usr/share/man/man8/rtshield.8.gz"}, "a drop-in OCI runtime"},
		"bash":             {[]string{"bash", "-c", ". /usr/share/bash-completion/completions/rtshield; COMP_WORDS=(rtshield reco) COMP_CWORD=1; _rtshield; echo $COMPREPLY"}, "reconcile"},
		"zsh":              {[]string{"zsh", "-fc", "autoload -Uz compinit; compinit -uD; echo $_comps[rtshield]"}, "_rtshield"},
		"fish":             {[]string{"fish", "-c", "complete -C 'rtshield reco'"}, "reconcile"},
		"what is promised": {[]string{"cat", "/usr/share/doc/rtshield/copyright"}, "Apache-2.0"},
	} {
		if out := must(t, "/", clean(try.command...)...); !strings.Contains(out, try.want) {
			t.Errorf("%s: %q says no %q: %s", what, try.command, try.want, out)
		}
	}
}
