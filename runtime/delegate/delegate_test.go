package delegate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program writes an executable script.
func program(t *testing.T, path, script string) string {
	t.Helper()
	write(t, path, "#!/bin/sh\n"+script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfLink is a link to this very program under another name, as in an installation that stands in for runc.
func selfLink(t *testing.T, path string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	dir := realDir(t)
	first := program(t, dir+"/a/odd-runc", "")
	second := program(t, dir+"/b/odd-runc", "")
	only := program(t, dir+"/b/odd-crun", "")
	write(t, dir+"/a/plain", "no exec bit")
	plain := program(t, dir+"/b/plain", "")
	self := selfLink(t, dir+"/a/mine")
	behind := program(t, dir+"/b/mine", "")
	if err := os.MkdirAll(dir+"/a/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+"/a:"+dir+"/b")

	tests := []struct {
		names []string
		want  string
		says  string
	}{
		{names: []string{"odd-runc", "odd-crun"}, want: first},
		{names: []string{"nosuch", "odd-crun"}, want: only},
		{names: []string{second}, want: second},
		{names: []string{dir + "/nosuch", "odd-crun"}, want: only},
		{names: []string{"plain"}, want: plain}, // the first of the name cannot run
		{names: []string{"mine"}, want: behind}, // the first of the name is we
		{names: []string{self}, says: self + " is rtshield itself"},
		{names: []string{"./odd-runc"}, says: "./odd-runc is not an absolute path"},
		{names: []string{"../b/odd-runc", "odd-crun"}, want: only},
		{names: []string{dir + "/a/plain"}, says: "plain is not executable"},
		{names: []string{dir + "/a/folder"}, says: "folder is not a regular file"},
		{names: []string{"nosuch"}, says: "nosuch not in " + dir + "/a:" + dir + "/b:/usr/local/sbin:"},
		{names: []string{""}, says: `"" is no name`},
		{names: nil, says: "the list of delegates is empty"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.names, ","), func(t *testing.T) {
			got, err := Find(tt.names)
			if got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
			if tt.says == "" {
				return
			}
			if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), tt.says) ||
				!strings.Contains(err.Error(), "[runtime] delegates") {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

// An engine such as conmon starts us with no PATH at all, and the working directory is the bundle.
func TestFindWithoutPath(t *testing.T) {
	dir := realDir(t)
	program(t, dir+"/env", "")
	t.Chdir(dir)
	for _, path := range []string{"", ".", "::.", "./"} {
		t.Setenv("PATH", path)
		got, err := Find([]string{"env"})
		if err != nil || !filepath.IsAbs(got) || strings.HasPrefix(got, dir) {
			t.Errorf("PATH=%q: %q, %v", path, got, err)
		}
	}
	if err := os.Unsetenv("PATH"); err != nil {
		t.Fatal(err)
	}
	if got, err := Find([]string{"env"}); err != nil || got == "" {
		t.Errorf("no PATH: %q, %v", got, err)
	}
}

func TestARuncBesideRtshieldIsFoundLast(t *testing.T) {
	t.Setenv("PATH", "")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dirs := searchDirs()
	if last := dirs[len(dirs)-1]; last != filepath.Dir(self) || len(dirs) != len(standardDirs)+1 {
		t.Errorf("%q", dirs)
	}
	beside := program(t, filepath.Dir(self)+"/odd-beside", "")
	if got, err := Find([]string{"odd-beside"}); err != nil || got != beside {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRaiseDepth(t *testing.T) {
	for have, want := range map[string]string{"": "1", "0": "1", "1": "2", "2": "3", "-5": "1", "many": "1"} {
		env := []string{"A=1", depthVar + "=" + have, "RTSHIELD_DEPTHS=x", "B=2"}
		if have == "" {
			env = []string{"A=1", "RTSHIELD_DEPTHS=x", "B=2"}
		}
		got, err := raiseDepth(env)
		if err != nil || strings.Join(got, " ") != "A=1 RTSHIELD_DEPTHS=x B=2 "+depthVar+"="+want {
			t.Errorf("depth %q: %v, %v", have, got, err)
		}
	}
	for _, have := range []string{"3", "4", "99"} {
		_, err := raiseDepth([]string{depthVar + "=1", depthVar + "=" + have})
		if !errors.Is(err, ErrLoop) || !strings.Contains(err.Error(), "[runtime] delegates") {
			t.Errorf("depth %s: %v", have, err)
		}
	}
	t.Setenv(depthVar, "1")
	env, err := Environ()
	if err != nil || !strings.Contains(strings.Join(env, "\n"), depthVar+"=2") {
		t.Errorf("Environ: %v", err)
	}
}

func TestADelegateThatOthersCouldWriteIsRefusedAndNoOtherTaken(t *testing.T) {
	dir := realDir(t)
	t.Setenv("PATH", dir+"/a:"+dir+"/b")
	first := program(t, dir+"/a/odd-runc", "")
	program(t, dir+"/b/odd-runc", "")
	for path, mode := range map[string]os.FileMode{first: 0o777, dir + "/a": 0o775} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := Find([]string{"odd-runc", dir + "/b/odd-runc"})
		if got != "" || err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "delegate: "+path+" has mode") {
			t.Errorf("%s with mode %o: %q, %v", path, mode, got, err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Find([]string{"odd-runc"}); got != first || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
