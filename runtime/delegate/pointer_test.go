package delegate

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/config/location"
)

func testPointers(t *testing.T) pointers {
	return pointers{dir: realDir(t) + "/run", owner: uint32(os.Getuid())}
}

func TestStatePointer(t *testing.T) {
	// FNV-64a, so that other programs, and later versions, find it.
	if got := runPointers.path(location.Default); got != "/run/rtshield/delegate-2241343181b8b6d5" {
		t.Errorf("got %s", got)
	}
	if runPointers.path("/a") == runPointers.path("/b") {
		t.Error("two files share a pointer")
	}
	t.Setenv("RTSHIELD_CONFIG", "")
	if location.Path() != location.Default {
		t.Errorf("empty variable: %s", location.Path())
	}
	t.Setenv("RTSHIELD_CONFIG", "/x.toml")
	if location.Path() != "/x.toml" {
		t.Errorf("variable: %s", location.Path())
	}
}

func TestPoint(t *testing.T) {
	dir := realDir(t)
	t.Setenv("PATH", dir)
	usual := program(t, dir+"/runc", "")
	mine := program(t, dir+"/other/runc", "")
	newer := program(t, dir+"/newer/runc", "")
	p := testPointers(t)

	// The usual delegate leaves no trace, not even the folder.
	if err := p.point("/c", usual); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(p.dir); !os.IsNotExist(err) {
		t.Errorf("folder: %v", err)
	}
	if path, ok, err := p.pointed("/c"); err != nil || ok {
		t.Errorf("pointed at %s", path)
	}

	for _, path := range []string{mine, mine, newer} {
		if err := p.point("/c", path); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := p.pointed("/c"); err != nil || !ok || got != path {
			t.Errorf("got %q %v, want %s", got, ok, path)
		}
	}
	if info, err := os.Stat(p.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", info, err)
	}
	if got, ok, err := p.pointed("/other"); err != nil || ok {
		t.Errorf("another policy file is pointed at %s", got)
	}
	if err := p.point("/c", "runc"); err == nil {
		t.Error("took a relative path")
	}

	if err := p.point("/c", usual); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(p.dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPointOverLeftovers(t *testing.T) {
	dir := realDir(t)
	t.Setenv("PATH", dir)
	old, mine := program(t, dir+"/old", ""), program(t, dir+"/mine", "")
	p := testPointers(t)
	if err := p.point("/c", old); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", p.path("/c")+"."+strconv.Itoa(os.Getpid())); err != nil { // of a crash
		t.Fatal(err)
	}
	if err := p.point("/c", mine); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := p.pointed("/c"); err != nil || !ok || got != mine {
		t.Errorf("got %q %v", got, ok)
	}
	if left, _ := os.ReadDir(p.dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	// A delegate that is gone is no pointer, and must be replaceable.
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := p.pointed("/c"); err != nil || ok {
		t.Error("pointed at a file that is gone")
	}
	if err := p.point("/c", old); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := p.pointed("/c"); err != nil || !ok || got != old {
		t.Errorf("got %q %v", got, ok)
	}
}

func TestPointedRefuses(t *testing.T) {
	dir := realDir(t)
	good := program(t, dir+"/good", "")
	write(t, dir+"/plain", "")
	targets := map[string]string{
		"gone":           dir + "/nosuch",
		"not executable": dir + "/plain",
		"a folder":       dir,
		"ourselves":      selfLink(t, dir+"/self"),
		"relative":       "good",
	}
	for name, target := range targets {
		p := testPointers(t)
		if err := os.MkdirAll(p.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, p.path("/c")); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := p.pointed("/c"); err != nil || ok {
			t.Errorf("%s: pointed at %s", name, got)
		}
	}

	p := testPointers(t)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, p.path("/c"), good) // a file is no link
	if _, ok, err := p.pointed("/c"); err != nil || ok {
		t.Error("took a file for a pointer")
	}
	if err := p.point("/d", good); err != nil {
		t.Fatal(err)
	}
	p.owner++ // as if somebody else had set it
	if _, ok, err := p.pointed("/d"); err != nil || ok {
		t.Error("took somebody else's pointer")
	}
}

func TestResolve(t *testing.T) {
	dir := realDir(t)
	t.Setenv("PATH", dir)
	t.Setenv("RTSHIELD_CONFIG", "/c")
	saved := runPointers
	t.Cleanup(func() { runPointers = saved })
	runPointers = testPointers(t)

	usual, mine := program(t, dir+"/runc", ""), program(t, dir+"/mine", "")
	for _, want := range []string{usual, mine, usual} {
		if err := Point(want); err != nil {
			t.Fatal(err)
		}
		if got, err := Resolve(); err != nil || got != want {
			t.Errorf("got %q, %v; want %s", got, err, want)
		}
		if path, ok, err := Pointed(); err != nil || ok != (want == mine) || (ok && path != mine) {
			t.Errorf("pointed: %q %v", path, ok)
		}
	}
	if !strings.HasPrefix(runPointers.path("/c"), runPointers.dir) {
		t.Errorf("pointer at %s", runPointers.path("/c"))
	}
}
