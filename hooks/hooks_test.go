package hooks

import (
	"strings"
	"testing"
)

// pid 0 would be this process itself, for sched_setattr(2).
func TestAHookWithoutAProcessTouchesNone(t *testing.T) {
	for _, when := range []string{"createRuntime", "poststart"} {
		for _, pid := range []string{"", `,"pid":0`, `,"pid":-1`} {
			err := Run([]string{when, "--state", t.TempDir(), "--root", "/r"}, strings.NewReader(`{"id":"web"`+pid+`}`))
			if err == nil || !strings.Contains(err.Error(), "has no pid") {
				t.Errorf("%s %s: %v", when, pid, err)
			}
		}
	}
}

func TestAHookSaysWhatItWasGiven(t *testing.T) {
	args := []string{"createRuntime", "--state", t.TempDir(), "--root", "/r"}
	for stdin, want := range map[string]string{"": "EOF", "{}": "no id", "[]": "cannot unmarshal"} {
		if err := Run(args, strings.NewReader(stdin)); err == nil || !strings.Contains(err.Error(), "state on stdin: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", stdin, err)
		}
	}
	for _, args := range [][]string{nil, {"createRuntime"}, {"createRuntime", "--root", "/r", "--state", "/s"}} {
		if err := Run(args, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "usage: rtshield hook") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
