package hog_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/hog"
)

func TestLoopsSayWhereTheyRunWhileTheySpin(t *testing.T) {
	program := filepath.Join(t.TempDir(), "loop")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./loop").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pack, err := hog.New(filepath.Join(t.TempDir(), "hog"), program)
	if err != nil {
		t.Fatal(err)
	}
	defer pack.End()
	for _, mode := range []string{hog.Plain, hog.Stubborn, hog.Forking} {
		if _, err := pack.Start(mode, mode); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	if !pack.All().IsEmpty() {
		t.Errorf("they ran without being told to: %v", pack.Seen())
	}
	pack.Spin()
	for deadline := time.Now().Add(10 * time.Second); len(pack.Idle()) > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if idle := pack.Idle(); len(idle) > 0 {
		t.Errorf("these did not run: %q", idle)
	}
	if on := pack.On(pack.All()); len(on) != 3 {
		t.Errorf("%q", on)
	}
}
