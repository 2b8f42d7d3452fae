package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The built-in load is this program again.
func TestMain(m *testing.M) {
	if Is(os.Args[1:]) {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestTheBuiltInLoadRunsUntilItIsStopped(t *testing.T) {
	dir := t.TempDir()
	l, err := Start(Builtin, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for info, err := os.Stat(filepath.Join(dir, "written")); err != nil || info.Size() == 0; info, err = os.Stat(filepath.Join(dir, "written")) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := l.Running(); err != nil {
		t.Error(err)
	}
	for _, word := range []string{"busy loops", "pass messages", "memory copier", "file writer"} {
		if !strings.Contains(l.What, word) {
			t.Errorf("no %q in %q", word, l.What)
		}
	}
	children := l.children
	l.Stop()
	for _, c := range children {
		if c.ProcessState == nil {
			t.Errorf("%v has not ended", c.Args)
		}
	}
}

func TestALoadThatEndsByItselfIsTold(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo no such stressor >&2; exit 2"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := Start("sh "+script, t.TempDir())
	if err == nil {
		t.Cleanup(l.Stop)
		<-l.children[0].ended
		err = l.Running()
	}
	if err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "no such stressor") {
		t.Error(err)
	}
}

func TestACommandOfTheUsersIsALoad(t *testing.T) {
	l, err := Start("sleep 60", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Running(); err != nil || l.What != "sleep 60" {
		t.Error(l.What, err)
	}
	began := time.Now()
	if l.Stop(); time.Since(began) > 4*time.Second {
		t.Error("it had to be killed")
	}
	none, err := Start(None, "")
	if err != nil || none.Running() != nil {
		t.Error(err)
	}
	none.Stop()
}

func TestAMessageGoesRoundAPairWithoutEnd(t *testing.T) {
	failed := make(chan error, 1)
	go func() { failed <- talk(2) }()
	select {
	case err := <-failed:
		t.Fatal(err)
	case <-time.After(50 * time.Millisecond):
	}
}
