package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Rtshield gives the program under test: RTSHIELD_BIN, or one built now from this tree.
func Rtshield(t testing.TB) string {
	t.Helper()
	path, err := FindRtshield()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Plotter gives rtshield-plot, which is beside the program under test.
func Plotter(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("RTSHIELD_BIN"); path != "" {
		plotter := filepath.Join(filepath.Dir(path), "rtshield-plot")
		if _, err := os.Stat(plotter); err != nil {
			t.Fatalf("%v: `make build` puts it there", err)
		}
		return plotter
	}
	plotter, err := findPlotter()
	if err != nil {
		t.Fatal(err)
	}
	return plotter
}

var findPlotter = sync.OnceValues(func() (string, error) {
	return find("RTSHIELD_TEST_PLOT", "bin/test/rtshield-plot", true, "-ldflags", "-s -w", "./cmd/rtshield-plot")
})

// Installer gives rtshield-node, of this tree.
func Installer(t testing.TB) string {
	t.Helper()
	installer, err := findInstaller()
	if err != nil {
		t.Fatal(err)
	}
	return installer
}

var findInstaller = sync.OnceValues(func() (string, error) {
	return find("RTSHIELD_TEST_NODE", "bin/test/rtshield-node", true, "-ldflags", "-s -w", "./cmd/rtshield-node")
})

// Runc gives the runc of the module: RTSHIELD_TEST_RUNC, or bin/runc, built if it is not there.
func Runc(t testing.TB) string {
	t.Helper()
	path, err := FindRunc()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Loop gives the busy loop of integration/hog, built from this tree.
func Loop(t testing.TB) string {
	t.Helper()
	path, err := findLoop()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Named gives the program of integration/threads, built from this tree.
func Named(t testing.TB) string {
	t.Helper()
	path, err := findNamed()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var findNamed = sync.OnceValues(func() (string, error) {
	return find("RTSHIELD_TEST_NAMED", "bin/test/named", true, "-ldflags", "-s -w", "./integration/threads/named")
})

var findLoop = sync.OnceValues(func() (string, error) {
	return find("RTSHIELD_TEST_LOOP", "bin/test/loop", true, "-ldflags", "-s -w", "./integration/hog/loop")
})

// FindRtshield is Rtshield for TestMain.
var FindRtshield = sync.OnceValues(func() (string, error) {
	// Always asked of the compiler, whose cache knows what has changed, and not in bin/rtshield's place: that may be
	// an older one, or in use.
	return find("RTSHIELD_BIN", "bin/test/rtshield", true,
		"-tags", "urfave_cli_no_docs", "./cmd/rtshield")
})

// FindRunc is Runc for TestMain.
var FindRunc = sync.OnceValues(func() (string, error) {
	return find("RTSHIELD_TEST_RUNC", "bin/runc", false,
		"-tags", "seccomp urfave_cli_no_docs", "github.com/opencontainers/runc")
})

// FindContainerd gives the directory with the containerd, its shim and ctr that the Makefile names: RTSHIELD_TEST_CONTAINERD,
// or bin/containerd, built if it is not there.
var FindContainerd = sync.OnceValues(func() (string, error) { return findMade("RTSHIELD_TEST_CONTAINERD", "containerd", "containerd") })

// FindCRIO gives the directory with the crio and its pinns that integration/crio/programs names: RTSHIELD_TEST_CRIO, or
// bin/crio, built if it is not there.
var FindCRIO = sync.OnceValues(func() (string, error) { return findMade("RTSHIELD_TEST_CRIO", "crio", "crio") })

// FindKubernetes gives the directory with the kubelet, kube-apiserver and kubectl that integration/kubernetes/programs names:
// RTSHIELD_TEST_KUBERNETES, or bin/kubernetes, built if it is not there.
var FindKubernetes = sync.OnceValues(func() (string, error) { return findMade("RTSHIELD_TEST_KUBERNETES", "kubernetes", "kubelet") })

// findMade gives the directory of programs that a target of the Makefile builds into bin/, below its own name.
func findMade(variable, target, program string) (string, error) {
	if dir := os.Getenv(variable); dir != "" {
		return filepath.Abs(dir)
	}
	module, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(module, "bin", target)
	if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
		return dir, nil
	}
	if out, err := exec.Command("make", "-C", module, target).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make %s: %w\n%s", target, err, out)
	}
	return dir, nil
}

func find(variable, file string, always bool, build ...string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", variable, err)
		}
		return filepath.Abs(path)
	}
	module, err := Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(module, file)
	if _, err := os.Stat(path); err == nil && !always {
		return path, nil
	}
	// Renamed into place: another suite may be running it.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(fresh)
	cmd := exec.Command("go", append([]string{"build", "-buildvcs=false", "-trimpath", "-o", fresh}, build...)...)
	cmd.Dir = module
	if always { // ours is static; runc wants libseccomp
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s is not set, and %v: %w\n%s", variable, cmd.Args, err, out)
	}
	return path, os.Rename(fresh, path)
}
