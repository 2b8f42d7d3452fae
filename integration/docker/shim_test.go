package docker_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// All threads of it, also those that it starts later: they inherit what it has.
func TestTheShimOfAShieldedContainerKeepsHouse(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	scheduled(t, c, fifo())
	ok(t, "exec", c.id, "true")
	keeps := func(when, want string) {
		t.Helper()
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.shim(t)))
		if err != nil || len(threads) == 0 {
			t.Fatalf("no threads: %v", err)
		}
		for _, thread := range threads {
			if now := testhost.Allowed(read(t, thread)); now != want {
				t.Errorf("%s: %s may run on CPU %s, want %s", when, thread, now, want)
			}
		}
	}
	keeps("beside a shielded container", others())
	ok(t, "rm", "-f", c.id)
	plain := start(t, "rtshield", img, loop)
	c = plain
	keeps("beside an ordinary one", all())
	ok(t, "rm", "-f", c.id)
}
