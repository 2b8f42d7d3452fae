package delegate

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPoststartRunsLate(t *testing.T) {
	for _, c := range []struct {
		traits Traits
		want   bool
	}{
		{Traits{"runc", "1.1.5+ds1"}, false},
		{Traits{"runc", "1.5.2"}, false},
		{Traits{"runc", "1.6.0-rc.1"}, true},
		{Traits{"runc", "2.0.0"}, true},
		{Traits{"crun", "1.8.1"}, true},
		{Traits{"youki", "0.5.0"}, true},
		{Traits{}, true},
	} {
		if got := c.traits.LatePoststart(); got != c.want {
			t.Errorf("%+v: %v", c.traits, got)
		}
	}
}

func TestWhoSendsExecToOtherCPUs(t *testing.T) {
	for _, c := range []struct {
		traits Traits
		want   bool
	}{
		{Traits{"runc", "1.1.5+ds1"}, false},
		{Traits{"runc", "1.2.9"}, false},
		{Traits{"runc", "1.3.0"}, true},
		{Traits{"runc", "1.6.0-rc.1"}, true},
		{Traits{"crun", "1.8.1"}, false},
		{Traits{"crun", "1.18.2"}, false},
		{Traits{"crun", "1.19"}, true},
		{Traits{"crun", "1.27"}, true},
		{Traits{"youki", "0.5.0"}, false},
		{Traits{}, false},
	} {
		if got := c.traits.ExecAffinity(); got != c.want {
			t.Errorf("%+v: %v", c.traits, got)
		}
	}
}

func TestIdentifyAsksOnceForEachBuild(t *testing.T) {
	dir := realDir(t)
	asked := filepath.Join(dir, "asked")
	path := program(t, dir+"/odd", "echo x >> "+asked+"; echo runc version 1.5.2")
	count := func() int {
		data, _ := os.ReadFile(asked)
		return len(data) / 2
	}
	for range 3 {
		traits, err := Identify(path, dir+"/state")
		if err != nil || traits != (Traits{"runc", "1.5.2"}) {
			t.Fatalf("%+v %v", traits, err)
		}
	}
	if count() != 1 {
		t.Errorf("asked %d times", count())
	}
	program(t, path, "echo x >> "+asked+"; echo runc version 1.6.0; # another build")
	if traits, err := Identify(path, dir+"/state"); err != nil || traits.Version != "1.6.0" {
		t.Errorf("after an upgrade: %+v %v", traits, err)
	}
}
