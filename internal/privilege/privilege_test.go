package privilege

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustWrite(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, nil, mode); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatOthersCouldWriteIsNotTrusted(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir, file string) error
		want  string
	}{
		{"as it should be", func(string, string) error { return nil }, ""},
		{"everybody may write it", func(_, file string) error { return os.Chmod(file, 0o777) }, "file has mode 0777, so that others could change it: chmod go-w"},
		{"a group may write it", func(_, file string) error { return os.Chmod(file, 0o775) }, "0775"},
		{"a sticky file", func(_, file string) error { return os.Chmod(file, 0o777|os.ModeSticky) }, "file has mode 1777"},
		{"its directory", func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "dir has mode 0777"},
		{"a sticky directory", func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		{"another's file", func(_, file string) error { return os.Chown(file, 1234, 0) }, "file belongs to uid 1234: make it root's"},
		{"another's directory", func(dir, _ string) error { return os.Chown(dir, 1234, 0) }, "dir belongs to uid 1234"},
		{"nobody's", func(_, file string) error { return os.Chown(file, overflow, 0) }, "file belongs to uid 65534"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("gives files away: run as root")
			}
			dir := filepath.Join(t.TempDir(), "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "file")
			mustWrite(t, file, 0o755)
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(file, link); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(dir, file); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{file, link} {
				err := Trusted(path)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: %v, want %q", path, err, c.want)
				}
			}
		})
	}
}

func TestALinkThatAnotherCouldTurnIsNotTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives files away: run as root")
	}
	dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "theirs")
	mustWrite(t, filepath.Join(dir, "file"), 0o755)
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(theirs, "link")
	if err := os.Symlink(filepath.Join(dir, "file"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 1234, 0); err != nil {
		t.Fatal(err)
	}
	if err := Trusted(link); err == nil || !strings.Contains(err.Error(), "theirs belongs to uid 1234") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyRootOfTheHostCanShield(t *testing.T) {
	dir := t.TempDir()
	uidMap := func(text string) string {
		path := filepath.Join(dir, "uid_map")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := shield(0, uidMap("         0          0 4294967295\n")); err != nil {
		t.Errorf("root of the host: %v", err)
	}
	if err := shield(0, filepath.Join(dir, "none")); err != nil {
		t.Errorf("a kernel without user namespaces: %v", err)
	}
	if err := shield(1000, uidMap("0 0 4294967295")); err == nil || !strings.Contains(err.Error(), "as uid 1000") {
		t.Errorf("a user: %v", err)
	}
	if err := shield(0, uidMap("0 1000 1\n1 100000 65536\n")); err == nil || !strings.Contains(err.Error(), "in a user namespace") {
		t.Errorf("root of a user namespace: %v", err)
	}
}
