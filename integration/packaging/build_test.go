// Package packaging_test gets rtshield in the ways that people do, from `make install`, a .deb and an .rpm, and takes it away
// again.
package packaging_test

import (
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// version is one as a tag names it.
const version = "v1.2.3"

// work has all that these tests build.
var work string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "packaging-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	work = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// run gives what a command prints. Its last words may set variables.
func run(dir string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	// make's own variables are for the make that runs this test.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") })
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s", command, err, out)
	}
	return string(out), err
}

func must(t *testing.T, dir string, command ...string) string {
	t.Helper()
	out, err := run(dir, command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// source copies what rtshield is built from, with another age.
func source(dir string, age time.Time) error {
	const module = "../.."
	for _, name := range []string{"cmd", "hooks", "internal", "packaging", "runtime", "spec"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(module, name))); err != nil {
			return err
		}
	}
	for _, name := range []string{"LICENSE", "Makefile", "go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, age, age))
	})
}

// built makes the packages twice, from two directories that differ in path, age, umask and time zone, and gives these. All
// but the linking comes out of Go's cache the second time, and the first time too where somebody has built before.
var built = sync.OnceValues(func() (dirs []string, err error) {
	for _, place := range []struct {
		path, umask, zone string
		age               time.Time
	}{
		{"one", "022", "UTC", time.Now()},
		{"another/and/a/longer/one", "077", "Asia/Tokyo", time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)},
	} {
		dir := filepath.Join(work, place.path)
		if err := source(dir, place.age); err != nil {
			return nil, err
		}
		script := fmt.Sprintf(`umask %s; export TZ=%s; exec make packages VERSION=%s SOURCE_DATE_EPOCH=1700000000 NFPM="%s/nfpm"`, place.umask, place.zone, version, work)
		if _, err := run(dir, "sh", "-c", script); err != nil {
			return nil, err
		}
		dirs = append(dirs, filepath.Join(dir, "bin"))
	}
	return dirs, nil
})

// packages gives the first of the directories.
func packages(t *testing.T) string {
	t.Helper()
	dirs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dirs[0]
}

// made are all files that somebody else could compare, by their path below bin.
var made = []string{
	"amd64/rtshield", "amd64/rtshield-plot", "arm64/rtshield", "arm64/rtshield-plot",
	"packages/rtshield-1.2.3-1.aarch64.rpm", "packages/rtshield-1.2.3-1.x86_64.rpm",
	"packages/rtshield_1.2.3_amd64.deb", "packages/rtshield_1.2.3_arm64.deb",
}

func TestWhereAndWhenSomethingIsBuiltMakesNoDifference(t *testing.T) {
	packages(t)
	dirs, _ := built()
	for _, name := range made {
		var sums [2][sha256.Size]byte
		for i, dir := range dirs {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			sums[i] = sha256.Sum256(content)
		}
		if sums[0] != sums[1] {
			t.Errorf("%s is not the same when built elsewhere", name)
		}
	}
	found, err := filepath.Glob(filepath.Join(dirs[0], "packages/*"))
	if want := len(made) - 4; err != nil || len(found) != want {
		t.Errorf("%d packages, want %d: %q", len(found), want, found)
	}
}

func TestTheProgramsAreStatic(t *testing.T) {
	dir := packages(t)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		for _, name := range []string{"rtshield", "rtshield-plot"} {
			program, err := elf.Open(filepath.Join(dir, arch, name))
			if err != nil {
				t.Fatal(err)
			}
			needs := slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC })
			if program.Machine != machine || needs {
				t.Errorf("%s/%s is for %v, needs a loader: %t", arch, name, program.Machine, needs)
			}
			program.Close()
		}
	}
}
