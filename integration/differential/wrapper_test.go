package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// wrapper is a runtime as those of GPU vendors are: before create it puts a variable, a device, a mount and a hook into
// config.json, in place, and becomes the next runtime. jq before 1.7 makes floats of integers, and of unlimited a number that
// runc does not read.
func wrapper(t *testing.T, dir, name, next string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	text := fmt.Sprintf(`#!/bin/sh
set -eu
bundle=$PWD previous= create=
for word; do
	case $previous in --bundle | -b) bundle=$word ;; esac
	case $word in create | run) create=yes ;; esac
	previous=$word
done
if [ "$create" ] && [ -s "$bundle/config.json" ]; then
	changed=$(sed 's/:18446744073709551615\b/:"unlimited"/g' "$bundle/config.json" | jq '.process.env += ["GPU=all"] | .linux.devices += [{"path":"/dev/gpu0","type":"c","major":1,"minor":5,"fileMode":438,"uid":0,"gid":0}]
		| .mounts += [{"destination":"/gpu","type":"bind","source":"/etc","options":["bind","ro"]}]
		| .hooks.prestart += [{"path":"/bin/true"}]' | sed 's/"unlimited"/18446744073709551615/g')
	echo "$changed" >"$bundle/config.json"
fi
exec %s "$@"
`, next)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInFrontOfAnotherWrapperAndBehindOne(t *testing.T) {
	rig.EachRunc(t, func(t *testing.T, runc string) {
		dir, err := os.MkdirTemp("", "rtshield-wrapper-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { // what it holds is run as root
			t.Fatal(err)
		}
		gpu := wrapper(t, dir, "gpu-runtime", runc)
		t.Run("in front", func(t *testing.T) {
			r := rig.New(t, runc, testhost.Options{Delegates: []string{gpu}})
			wrapped(r, gpu, r.Rtshield, shieldedBy(r))
		})
		t.Run("behind", func(t *testing.T) {
			r := rig.New(t, runc, testhost.Options{})
			wrapped(r, gpu, wrapper(t, dir, "gpu-then-rtshield", r.Rtshield), wrapper(t, dir, "gpu-then-shield", shieldedBy(r)))
		})
	})
}

// wrapped compares the wrapper alone with the wrapper and rtshield.
func wrapped(r *rig.Rig, alone, ordinary, shielded string) {
	r.Helper()
	for _, l := range lives[:3] {
		want := play(r, alone, l)
		found := false
		for name, value := range want {
			found = found || filepath.Base(name) == "gpu" && value != "" || value == "all"
		}
		if !found && l.name != lives[1].name {
			r.Errorf("%s: nothing is seen of the wrapper", l.name)
		}
		compare(r, l.name+", ordinary", want, play(r, ordinary, l), everywhere, map[string]bool{})
		compare(r, l.name+", shielded", want, play(r, shielded, l), granted(), map[string]bool{})
		r.AsBefore(l.name)
	}
}
