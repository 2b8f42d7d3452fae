package packaging_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// below lists what is in directories and is none itself, and with dirs these too.
func below(t *testing.T, dirs bool, tops ...string) (paths []string) {
	t.Helper()
	for _, top := range tops {
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && (dirs || !entry.IsDir()) {
				paths = append(paths, path)
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(paths)
	return paths
}

// without gives what is in one list and not in the other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(path string) bool { _, found := slices.BinarySearch(other, path); return found })
}

func TestMakeInstallPutsWhatUninstallTakesAway(t *testing.T) {
	packages(t) // the source is there
	dir, dest := filepath.Join(work, "one"), t.TempDir()
	to := []string{"DESTDIR=" + dest, "PREFIX=/opt/rt", "VERSION=" + version}
	must(t, dir, append([]string{"make", "install"}, to...)...)
	want := []string{
		"bin/rtshield", "bin/rtshield-fifo", "bin/rtshield-plot", "bin/rtshield-rr", "lib/systemd/system/rtshield-reconcile.service",
		"share/bash-completion/completions/rtshield", "share/fish/vendor_completions.d/rtshield.fish",
		"share/man/man5/rtshield.toml.5", "share/man/man8/rtshield.8", "share/zsh/site-functions/_rtshield",
	}
	for i := range want {
		want[i] = filepath.Join(dest, "opt/rt", want[i])
	}
	if got := below(t, false, dest); !slices.Equal(got, want) {
		t.Errorf("installed were:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	prefix := filepath.Join(dest, "opt/rt")
	if out := must(t, dir, filepath.Join(prefix, "bin/rtshield-fifo"), "--version"); !strings.Contains(out, "rtshield "+version) {
		t.Errorf("the program that was installed is %s", out)
	}
	for shell, file := range map[string]string{"bash": want[5], "fish": want[6], "zsh": want[9]} {
		must(t, dir, shell, "-n", file)
	}
	verifyUnit(t, prefix)
	must(t, dir, append([]string{"make", "uninstall"}, to...)...)
	if rest := below(t, false, dest); len(rest) > 0 {
		t.Errorf("uninstall has left %q", rest)
	}
}

// verifyUnit has systemd look at the unit as it would be below /opt/rt: each word of it, the program and the man page.
func verifyUnit(t *testing.T, prefix string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(prefix, "lib/systemd/system/rtshield-reconcile.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nExecStart=/opt/rt/bin/rtshield reconcile\n") {
		t.Errorf("the unit does not run the program that was installed:\n%s", text)
	}
	here := strings.ReplaceAll(string(text), "/opt/rt", prefix)
	file := filepath.Join(t.TempDir(), "rtshield-reconcile.service")
	if err := os.WriteFile(file, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MANPATH", filepath.Join(prefix, "share/man"))
	if out := must(t, "/", "systemd-analyze", "verify", file); out != "" {
		t.Errorf("systemd says of the unit: %s", out)
	}
	for _, never := range []string{"Requires=", "Wants=", "BindsTo=", "ExecStartPre=", "Restart="} {
		if strings.Contains(here, "\n"+never) {
			t.Errorf("the unit has %s, and should start nothing but reconcile", never)
		}
	}
}
