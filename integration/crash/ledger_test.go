package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// watched is a shielded container whose ledger goes wrong.
type watched struct {
	*crash
	pid int
}

func watch(c *crash) watched {
	c.Helper()
	c.created()
	return watched{c, c.Grant(id).Owner.PID}
}

// shielded wants its process as it was granted, without asking the ledger.
func (w watched) shielded(when string) {
	w.Helper()
	attr, err := unix.SchedGetAttr(w.pid, 0)
	if err != nil || attr.Policy != unix.SCHED_FIFO || attr.Priority != 50 || w.Allowed(w.pid) != "1" {
		w.Errorf("%s: the container has %+v, %v, CPU %s", when, attr, err, w.Allowed(w.pid))
	}
}

// refused wants one line of ours with these words, and a status that an engine takes for an error.
func (w watched) refused(res rig.Result, words ...string) {
	w.Helper()
	if res.Code == 0 {
		w.Errorf("it succeeded: %s", res)
	}
	w.says(res, words...)
	w.shielded("after " + strings.Join(res.Args, " "))
}

func (w watched) says(res rig.Result, words ...string) {
	w.Helper()
	if lines := strings.Split(strings.TrimSpace(res.Stderr), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "rtshield: ") {
		w.Errorf("not one line of ours: %s", res)
	}
	for _, word := range words {
		if !strings.Contains(res.Stderr, word) {
			w.Errorf("it does not say %q: %s", word, res)
		}
	}
}

func (w watched) createNext() rig.Result {
	w.Helper()
	return w.OCI("create", "--bundle", w.bundle, "another")
}

func (w watched) createOrdinary() rig.Result {
	w.Helper()
	return w.OCI("create", "--bundle", w.ordinary, neighbour)
}

func (w watched) update() rig.Result {
	w.Helper()
	return w.OCI("update", "--resources", w.resources(), id)
}

func TestALedgerThatIsWrongIsToldAndTheContainerStaysShielded(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	r.Track("another")
	base := newCrash(r)
	half := func(text string) string { return text[:len(text)/2] }
	for _, ledger := range []struct {
		name  string
		spoil func(text string) string // "" deletes it
		// forgotten: what it said counts no more, and only the container's cgroup tells.
		forgotten bool
		words     []string
	}{
		{"truncated", half, false, []string{"ledger", "cannot be read", "move it away"}},
		{"emptied", func(string) string { return "\n" }, false, []string{"ledger", "cannot be read", "move it away"}},
		{"garbage", func(text string) string { return "\x00\xff" + text }, false, []string{"ledger", "cannot be read", "move it away"}},
		{"of a newer version", func(text string) string { return strings.Replace(text, `"version":1`, `"version":99`, 1) }, false, []string{"version 99", "use the rtshield that wrote it"}},
		{"of another boot", func(text string) string { return strings.Replace(text, `"bootID":"`, `"bootID":"0`, 1) }, true, []string{"was deleted while a container ran", "CPU 1"}},
		{"deleted", func(string) string { return "" }, true, []string{"was deleted while a container ran", "CPU 1"}},
	} {
		t.Run(ledger.name, func(t *testing.T) {
			w := watch(base.in(t))
			path := w.Policy.Ledger()
			text := w.Text(path) + "\n"
			mend := func() {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
				w.back(ledger.name)
			}
			defer mend()
			var err error
			wrong := ledger.spoil(text)
			if wrong == "" {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, []byte(wrong), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.refused(w.createNext(), ledger.words...)
			w.refused(w.Shield("reconcile"), ledger.words...)
			w.refused(w.Shield("reconcile"), ledger.words...) // it stays so
			if ledger.forgotten {
				if out := w.Must(w.Shield("status")).Stdout; !strings.Contains(out, "the ledger was deleted") {
					t.Errorf("status: %s", out)
				}
			} else {
				w.refused(w.Shield("status"), ledger.words...)
				w.refused(w.createOrdinary(), ledger.words...)
				w.refused(w.update(), ledger.words...)
				if now := w.Text(path); now != strings.TrimSpace(wrong) {
					t.Errorf("it was changed to %s", now)
				}
			}
			w.Stop(id)
			res := w.Must(w.OCI("delete", id))
			if !ledger.forgotten {
				w.says(res, ledger.words...)
			}
			w.Gone("after delete")
		})
	}
}

func TestALedgerOnAFileSystemThatTakesNothingIsToldAndTheContainerStaysShielded(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	r.Track("another")
	base := newCrash(r)
	state := r.Policy.State
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(state, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	remount := func(flags uintptr) error {
		return unix.Mount("tmpfs", state, "tmpfs", unix.MS_REMOUNT|flags, "size=64k,mode=0700")
	}
	filler := filepath.Join(state, "filler")
	for _, c := range []struct {
		name       string
		spoil, end func() error
		word       string
	}{
		{"read-only", func() error { return remount(unix.MS_RDONLY) }, func() error { return remount(0) }, "read-only file system"},
		{"full", func() error { return fill(filler) }, func() error { return os.Remove(filler) }, "no space left on device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := watch(base.in(t))
			defer w.back(c.name)
			ended := false
			end := func() {
				if err := c.end(); err != nil && !ended {
					t.Error(err)
				}
				ended = true
			}
			defer end()
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			w.refused(w.createOrdinary(), c.word)
			w.Must(w.Shield("status"))
			w.Must(w.update()) // a grant that is kept is only read
			w.shielded("after update")
			w.Stop(id)
			w.says(w.Must(w.OCI("delete", id)), c.word)
			w.Gone("after delete")
			if res := w.createNext(); res.Code == 0 || !strings.Contains(res.Stderr, c.word) {
				t.Errorf("create: %s", res)
			}
			if res := w.Shield("reconcile"); res.Code == 0 || !strings.Contains(res.Stderr, c.word) {
				t.Errorf("reconcile: %s", res)
			}
			if left, _ := filepath.Glob(w.Policy.Ledger() + ".*"); len(left) > 0 {
				t.Errorf("half of a ledger is left: %q", left)
			}
			end()
			w.Must(w.Shield("reconcile"))
			w.AsBefore("once it takes something again")
		})
	}
}

// fill writes until nothing more fits.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for range 1 << 10 {
		if _, err := file.Write(make([]byte, 512)); err != nil {
			return nil //nolint:nilerr // that is what we want
		}
	}
	return fmt.Errorf("%s does not fill its file system", path)
}
