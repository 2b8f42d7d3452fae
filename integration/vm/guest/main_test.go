//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rtshield is the program under test.
const rtshield = "/usr/local/bin/rtshield"

// runtime is a delegate.
type runtime struct{ name, path string }

// delegates are what integration/vm puts into the initramfs, named as they name themselves. The first is the module's.
var delegates = []runtime{{path: "/usr/local/bin/runc"}, {path: "/usr/sbin/runc"}, {path: "/usr/bin/crun"}}

func TestMain(m *testing.M) {
	cmdline, _ := os.ReadFile("/proc/cmdline")
	if !strings.Contains(string(cmdline), "rtshield.vm=1") {
		fmt.Fprintln(os.Stderr, "these tests take a whole machine and run only in the VMs of `make vmtest`")
		os.Exit(1)
	}
	if err := prepare(); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	for i, delegate := range delegates {
		out, err := exec.Command(delegate.path, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s --version: %w", delegate.path, err)
		}
		words := strings.Fields(string(out)) // runc version 1.5.2 …
		if len(words) < 3 {
			return fmt.Errorf("%s --version says %q", delegate.path, out)
		}
		delegates[i].name = words[0] + " " + words[2]
	}
	// Containers' processes become our children when their runtime has ended, as a shim's do.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := makeCgroups(); err != nil {
		return err
	}
	return makeBundles()
}

// shownOn skips a test whose matter is the same on every kernel, but for some.
func shownOn(t *testing.T, series ...string) {
	t.Helper()
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if !slices.ContainsFunc(series, func(one string) bool { return strings.HasPrefix(string(release), one+".") }) {
		t.Skipf("elsewhere: this is shown on Linux %s", strings.Join(series, " and "))
	}
}

// each runs a test through each delegate.
func each(t *testing.T, test func(r *rig)) {
	t.Helper()
	for _, delegate := range delegates {
		t.Run(strings.ReplaceAll(delegate.name, " ", "-"), func(t *testing.T) { test(newRig(t, delegate)) })
	}
}

// once runs it through crun alone, where the delegate makes no difference: it takes half of runc's time.
func once(t *testing.T, test func(r *rig)) {
	t.Helper()
	test(newRig(t, delegates[2]))
}

// onRunc runs it through the module's runc alone, which passes on what a hook says.
func onRunc(t *testing.T, test func(r *rig)) {
	t.Helper()
	test(newRig(t, delegates[0]))
}

// onRuncAndCrun runs it through the module's runc and crun.
func onRuncAndCrun(t *testing.T, test func(r *rig)) {
	t.Helper()
	for _, delegate := range []runtime{delegates[0], delegates[2]} {
		t.Run(strings.ReplaceAll(delegate.name, " ", "-"), func(t *testing.T) { test(newRig(t, delegate)) })
	}
}
