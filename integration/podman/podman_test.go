// Package podman_test runs a container under Podman that knows rtshield by `rtshield install podman` alone, beside
// an /etc of its own.
package podman_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
)

// shop is a Podman with everything of its own.
type shop struct {
	*testing.T
	*testhost.Place
	program string
	policy  testhost.PolicyFile
}

// inside runs a command where /etc is its own: conmon gives a runtime no environment, so that rtshield finds only the
// policy file of the usual place.
func (s shop) inside(words ...string) (string, error) {
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$0" /etc && exec "$@"`, s.Path("etc")}, words...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%q: %w: %s", words, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (s shop) ok(words ...string) string {
	s.Helper()
	out, err := s.inside(words...)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// podman is its command line, with nothing of the host's.
func (s shop) podman(words ...string) []string {
	return append([]string{"podman", "--root", s.Path("root"), "--runroot", s.Path("run"), "--tmpdir", s.Path("tmp"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}, words...)
}

// run runs a container, and says how its first process was scheduled.
func (s shop) run(runtime string) string {
	s.Helper()
	return testhost.Told(s.T, s.ok(s.podman("--runtime", runtime, "run", "--rm", "--network", "none", "--cgroup-parent", s.Cgroup,
		"--log-driver", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", // its own are above those of a root without CAP_SYS_RESOURCE
		"--rootfs", s.Path("rootfs"), "sh", "-c", testhost.Tell)...))
}

func open(t *testing.T) shop {
	t.Helper()
	place, err := testhost.NewPlace("podmantest")
	if err != nil {
		t.Fatal(err)
	}
	s := shop{T: t, Place: place}
	binary := testhost.Rtshield(t)
	s.program = s.Path("bin/rtshield")
	online := testhost.Parse(t, testhost.Read(t, "/sys/devices/system/cpu/online"))
	options := testhost.Options{Dir: s.Path("etc/rtshield"), State: s.Path("state")}
	if online.Size() > 2 {
		options.Layout = fmt.Sprintf("shield = %q", shielded(online))
	}
	t.Cleanup(func() {
		reconcile := exec.Command(binary, "reconcile")
		reconcile.Env = append(os.Environ(), s.policy.Env())
		if err := s.Clear(reconcile); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range []string{"bin", "rootfs", "etc", "etc/rtshield"} {
		if err := os.Mkdir(s.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"containers", "passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"} {
		if _, err := os.Stat("/etc/" + name); err != nil {
			continue
		}
		if out, err := exec.Command("cp", "-a", "/etc/"+name, s.Path("etc")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.MkdirAll(s.Path("etc/containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Its locks would be in /dev/shm, and stay there.
	err = errors.Join(os.WriteFile(s.Path("etc/containers/containers.conf"), []byte("[engine]\nlock_type = \"file\"\n"), 0o644),
		os.Chmod(s.Dir, 0o755), os.Symlink(binary, s.program), s.fill())
	if err == nil {
		s.policy, err = testhost.WritePolicy(options)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill unpacks busybox.
func (s shop) fill() error {
	tree, err := testhost.Busybox(nil, "sh", "cut", "grep")
	if err != nil {
		return err
	}
	for archive := tar.NewReader(bytes.NewReader(tree)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(s.Path("rootfs"), header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if header.Typeflag == tar.TypeSymlink {
			err = os.Symlink(header.Linkname, path)
		} else {
			var content []byte
			if content, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(path, content, 0o755)
			}
		}
		if err != nil {
			return err
		}
	}
}

func shielded(online cpuset.CPUSet) string {
	list := online.List()
	return fmt.Sprint(list[len(list)-1])
}

func TestInstallIsAllThatPodmanNeeds(t *testing.T) {
	testhost.RequireRoot(t)
	if err := testhost.Alone(); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	file := "/etc/containers/containers.conf.d/99-rtshield.conf"
	if _, err := s.inside(s.podman("--runtime", "rtshield", "info")...); err == nil {
		t.Error("podman knows rtshield already")
	}
	s.ok(s.program, "install", "podman", "--class", "fifo")
	online := testhost.Parse(t, testhost.Read(t, "/sys/devices/system/cpu/online"))
	before := s.run("rtshield") // makes the cgroups above
	t.Run("a container", func(t *testing.T) {
		s.T = t
		testhost.HostUnchanged(t, s.policy.Ledger())
		for runtime, want := range map[string]string{"rtshield": before, "rtshield-fifo": "FIFO 50 on " + shielded(online)} {
			if got := s.run(runtime); got != want {
				t.Errorf("%s runs %s, want %s", runtime, got, want)
			}
		}
	})
	s.T = t
	if want := "OTHER 0 on " + online.String(); before != want {
		t.Errorf("an ordinary one ran %s, want %s", before, want)
	}
	s.ok(s.program, "uninstall", "podman")
	if out, err := s.inside("ls", file, s.Path("bin/rtshield-fifo")); err == nil || strings.Count(out, "No such file") != 2 {
		t.Errorf("left are %s", out)
	}
}
