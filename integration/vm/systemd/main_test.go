//go:build vmguest

// Package systemd_test shields Docker's containers on a host whose cgroups belong to systemd. Every test compares the
// host with what it was.
package systemd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

// patience bounds every wait: an emulated CPU is slow.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	if !strings.Contains(string(cmdline), "rtshield.vm=1") {
		fmt.Fprintln(os.Stderr, "these tests take a whole machine and run only in the VMs of `make vmtest-systemd`")
		os.Exit(1)
	}
	if err := prepare(); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare makes the image, and runs a container as those of the tests are: systemd gives system.slice the cpuset
// controller with the first that has CPUs of its own.
func prepare() error {
	tree, err := imageTree()
	if err != nil {
		return err
	}
	if _, err := command(bytes.NewReader(tree), "docker", "import", "-", "img"); err != nil {
		return err
	}
	_, err = command(nil, "docker", "run", "--rm", "--net=none", "--runtime=runc", "--cpuset-cpus=1", "img", "true")
	return err
}

// imageTree is a busybox, loop, which does nothing until it is told to stop, and programs of the host's.
func imageTree(programs ...string) ([]byte, error) {
	files := map[string]string{"bin/loop": "#!/bin/sh\ntrap 'exit 0' TERM\nsleep 100000 &\nwait\n"}
	for _, path := range append(programs, "/bin/busybox") {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(path, "/")] = string(content)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(content)); err != nil {
			return nil, err
		}
	}
	for _, applet := range []string{"sh", "sleep", "cat", "cut", "true", "grep", "env"} {
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

func command(stdin *bytes.Reader, words ...string) (string, error) {
	return bounded(patience, stdin, words...)
}

func bounded(limit time.Duration, stdin *bytes.Reader, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// run runs a command that has to succeed, and gives its output.
func run(t testing.TB, words ...string) string {
	t.Helper()
	return within(t, patience, words...)
}

func within(t testing.TB, limit time.Duration, words ...string) string {
	t.Helper()
	begun := time.Now()
	out, err := bounded(limit, nil, words...)
	t.Logf("$ %s (%v)", strings.Join(words, " "), time.Since(begun).Round(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unsetController is a cgroup's line that came or went with its controller, which systemd enables and disables as its
// units need it. It says what a cgroup has that nobody has set.
var unsetController = regexp.MustCompile(`^/sys/fs/cgroup/.*: was (not there, is )?(""|"member")(, is gone)?$`)

// emptyBefore is the line of a cpuset that had all that its parent has.
var emptyBefore = regexp.MustCompile(`^(/sys/fs/cgroup/.*/cpuset\.cpus): was "", is "(.*)"$`)

// unchanged fails the test unless the host is in the end as it is now, and nobody holds a CPU. Called first, it compares
// last.
func unchanged(t *testing.T) {
	t.Helper()
	before := snapshot.TakeHost()
	t.Cleanup(func() {
		differences(t, before.Changed())
		if ledger, err := os.ReadFile("/run/rtshield/ledger.json"); err == nil {
			t.Errorf("after the test there still is a ledger: %s", strings.Join(strings.Fields(string(ledger)), " "))
		}
	})
}

// differences fails the test for each line that is rtshield's to answer for.
func differences(t *testing.T, lines []string) {
	t.Helper()
	filled := 0
	for _, line := range lines {
		if unsetController.MatchString(line) {
			continue
		}
		if match := emptyBefore.FindStringSubmatch(line); match != nil && match[2] == text(t, cgroupMount+"/cpuset.cpus.effective") {
			// Kernels before 7.x do not let that of a cgroup with processes become empty again.
			if err := os.WriteFile(match[1], []byte("\n"), 0); errors.Is(err, unix.ENOSPC) {
				filled++
				continue
			}
		}
		t.Errorf("after the test: %s", line)
	}
	if filled > 0 {
		t.Log("limit: cpuset.cpus of units that ran is all CPUs afterwards and not empty as before: no space left on device")
	}
}

func eventually(t testing.TB, try func() error) {
	t.Helper()
	testhost.Eventually(t, patience, try)
}
