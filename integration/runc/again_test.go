package runc_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// once is our hooks in a bundle for runc until 1.5, whose poststart runs too early to say anything new.
var once = map[string]int{"createRuntime": 1, "poststop": 1}

func TestTheSameBundleRunAgainAndEditedHasEachHookOnce(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("again", rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo $RTSHIELD_CPUS"))
		run := func(when, stdout string) {
			r.Helper()
			res := r.OCI("run", "--bundle", bundle, "again")
			if res.Code != 0 || res.Stdout != stdout {
				r.Errorf("%s: want %q, got %s", when, stdout, res)
			}
			if got := ours(r, bundle); !maps.Equal(got, once) {
				r.Errorf("%s: our hooks in config.json: %v", when, got)
			}
			r.AsBefore(when)
		}
		r.Track("again")
		run("first", "1\n")
		patched := r.Raw(bundle)
		run("second", "1\n")
		if r.Raw(bundle) != patched {
			r.Errorf("the second run changed config.json:\n%s\n%s", patched, r.Raw(bundle))
		}

		r.Change(bundle, rig.Args("/bin/sh", "-c", "echo edited $RTSHIELD_CPUS"))
		run("after other args", "edited 1\n")

		// The user wants CPU 0: that is the user's word now, and not in the shield.
		r.Change(bundle, rig.CPUs("0"))
		refused(r, r.OCI("run", "--bundle", bundle, "again"), "CPU 0", "not in the shield")
		r.Change(bundle, rig.CPUs("1"))
		run("after cpus = 1", "edited 1\n")

		// A hook of the user's own beside ours stays.
		r.Change(bundle, func(s *specs.Spec) {
			s.Hooks.CreateRuntime = append(s.Hooks.CreateRuntime, specs.Hook{Path: "/bin/true"})
		})
		run("after a hook of the user's", "edited 1\n")
		if n := len(r.Config(bundle).Hooks.CreateRuntime); n != 2 {
			r.Errorf("there are %d createRuntime hooks, want the user's and ours", n)
		}

		ordinaryAgain(r, bundle)
	})
}

// ordinaryAgain takes the class away: the bundle has to become an ordinary one, without a trace of us.
func ordinaryAgain(r *rig.Rig, bundle string) {
	r.Helper()
	r.Change(bundle, func(s *specs.Spec) { s.Annotations = nil }, rig.Args("/bin/env"))
	res := r.Must(r.OCI("run", "--bundle", bundle, "again"))
	if strings.Contains(res.Stdout, "RTSHIELD") {
		r.Errorf("an ordinary container sees %q", res.Stdout)
	}
	if got := ours(r, bundle); len(got) > 0 {
		r.Errorf("without a class config.json still has our hooks: %v", got)
	}
	if files := r.Files(bundle); len(files) != 1 {
		r.Errorf("without a class there is a journal: %q", files)
	}
	// Not the cpus: a user who wrote the very value that we had written cannot be told from us.
	if cpu := r.Config(bundle).Linux.Resources.CPU; cpu != nil && cpu.Mems != "" {
		r.Errorf("without a class there are memory nodes: %+v", cpu)
	}
	r.AsBefore("after the class is gone")
}

func TestWithTheClassGoneConfigIsByteForByteTheUsers(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("bytes", rig.Class("fifo"), rig.Args("/bin/true"))
		r.Track("bytes")
		fresh := r.Raw(bundle)
		r.Must(r.OCI("run", "--bundle", bundle, "bytes"))
		patched := r.Raw(bundle)
		if patched == fresh {
			r.Fatal("a shielded run did not change config.json")
		}
		// The smallest edit that there is, in the patched text: all else is as the user's first text.
		put(r, bundle+"/config.json", strings.Replace(patched, "rtshield.io/class", "example.com/class", 1))
		r.Must(r.OCI("run", "--bundle", bundle, "bytes"))
		if got, want := r.Raw(bundle), strings.Replace(fresh, "rtshield.io/class", "example.com/class", 1); got != want {
			r.Errorf("config.json is not what the user wrote:\n%s\nwant\n%s", got, want)
		}
	})
}
