// Package runc_test drives bundles through rtshield on two delegates, the runc of the module and Debian's 1.1.5, with no
// engine in between.
package runc_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/snapshot"
)

// shieldCPU is what an automatic layout grants first on a host of two CPUs.
const shieldCPU = "1"

func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return line == "" })
}

// has fails unless text has every one of the words.
func has(t testing.TB, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s: no %q in %q", what, word, text)
		}
	}
}

// ours counts our hooks in a bundle's config.json, by when they run.
func ours(r *rig.Rig, bundle string) map[string]int {
	r.Helper()
	count := map[string]int{}
	hooks := r.Config(bundle).Hooks
	if hooks == nil {
		return count
	}
	for _, hook := range hooks.CreateRuntime {
		if hook.Path == r.Rtshield {
			count["createRuntime"]++
		}
	}
	for _, hook := range hooks.Poststart {
		if hook.Path == r.Rtshield {
			count["poststart"]++
		}
	}
	for _, hook := range hooks.Poststop {
		if hook.Path == r.Rtshield {
			count["poststop"]++
		}
	}
	return count
}

// refused fails unless rtshield said one clear line on stderr, nothing on stdout, and gave exit status 1.
func refused(r *rig.Rig, res rig.Result, words ...string) {
	r.Helper()
	if res.Code != 1 || res.Stdout != "" || len(lines(res.Stderr)) != 1 || !strings.HasPrefix(res.Stderr, "rtshield: ") {
		r.Errorf("not refused in one line with status 1: %s", res)
	}
	has(r, "stderr", res.Stderr, words...)
}

// sameHost fails if a setting differs from the snapshot.
func sameHost(t testing.TB, when string, before snapshot.Snapshot) {
	t.Helper()
	if diff := snapshot.Diff(before, snapshot.Take()); len(diff) > 0 {
		t.Errorf("%s:\n%s", when, strings.Join(diff, "\n"))
	}
}

var fifo50 = struct{ policy, priority uint32 }{unix.SCHED_FIFO, 50}
