package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheProgramIsNamedAsItWasCalledAndHasToBeRoots(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link, class := filepath.Join(dir, "rtshield"), filepath.Join(dir, "rtshield-fifo")
	for _, name := range []string{link, class} {
		if err := os.Symlink(self, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, class} { // a name with a class in it gives every container that class
		if got, err := Program(name); err != nil || got != link {
			t.Errorf("called as %s: %s, %v", name, got, err)
		}
	}
	t.Setenv("PATH", dir)
	if got, err := Program("rtshield"); err != nil || got != link {
		t.Errorf("found in PATH: %s, %v", got, err)
	}
	if got, err := Program("/no/such/rtshield"); err != nil || got != self {
		t.Errorf("called as nothing: %s, %v", got, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Program(link); err == nil || !strings.Contains(err.Error(), "others could change it") {
		t.Errorf("where others may write: %v", err)
	}
}
