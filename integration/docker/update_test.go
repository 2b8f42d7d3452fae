package docker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// says fails unless docker gave exit status 1 and rtshield's words, on stderr.
func says(t *testing.T, r result, words ...string) {
	t.Helper()
	if r.code != 1 {
		t.Errorf("not refused: %v", r)
	}
	for _, word := range append(words, "rtshield: ") {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("the refusal does not say %q: %v", word, r)
		}
	}
}

func TestAnUpdateOfMemoryLeavesTheShieldAsItWas(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", "-m", "64m", "--memory-swap", "64m", img, loop)
	before := theGrant(t)
	ok(t, "update", "--memory", "48m", "--memory-swap", "48m", c.id)
	ok(t, "update", "--pids-limit", "77", c.id)
	if limit := c.cgroupFile(t, "memory", "memory.limit_in_bytes"); limit != "50331648" {
		t.Errorf("its memory limit is %s", limit)
	}
	scheduled(t, c, fifo())
	if cpus := c.cgroupFile(t, "cpuset", "cpuset.cpus"); cpus != shieldedCPU() {
		t.Errorf("its cgroup has CPUs %s", cpus)
	}
	if quota := c.cgroupFile(t, "cpu", "cpu.cfs_quota_us"); quota != "-1" {
		t.Errorf("its quota is %s", quota)
	}
	if now := theGrant(t); now.PID != before.PID || now.CPUs != before.CPUs {
		t.Errorf("the grant was %+v, is %+v", before, now)
	}
	ok(t, "update", "--cpuset-cpus", shieldedCPU(), c.id) // what it has
	scheduled(t, c, fifo())
	ok(t, "restart", "-t", "5", c.id)
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)
}

func TestAnUpdateThatWouldUndoTheShieldSaysWhatStandsInTheWay(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	holds := "it holds CPU " + shieldedCPU() + " (class fifo)"
	says(t, docker(t, "update", "--cpuset-cpus", others(), c.id), "asks for CPU "+others(), holds)
	says(t, docker(t, "update", "--cpuset-cpus", all(), c.id), "asks for CPU "+all(), holds)
	says(t, docker(t, "update", "--cpus", "0.5", c.id), "a quota of 50000 µs", "CPU "+shieldedCPU()+" is its own")
	says(t, docker(t, "update", "--cpu-quota", "30000", c.id), "a quota of 30000 µs")
	scheduled(t, c, fifo())
	if cpus := c.cgroupFile(t, "cpuset", "cpuset.cpus"); cpus != shieldedCPU() {
		t.Errorf("its cgroup has CPUs %s", cpus)
	}
	if quota := c.cgroupFile(t, "cpu", "cpu.cfs_quota_us"); quota != "-1" {
		t.Errorf("its quota is %s", quota)
	}
	// Docker keeps nothing of it for the next start.
	ok(t, "restart", "-t", "5", c.id)
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)
}

func TestAnUpdateOfAnOrdinaryContainerReachesNoHeldCPU(t *testing.T) {
	unchanged(t)
	beside := start(t, "rtshield", img, loop)
	shielded := start(t, "rtshield-fifo", img, loop)
	ok(t, "update", "--cpuset-cpus", all(), beside.id)
	scheduled(t, beside, "OTHER 0 on "+others())
	says(t, docker(t, "update", "--cpuset-cpus", shieldedCPU(), beside.id), "kept for others", shielded.short())
	ok(t, "update", "--cpus", "0.5", beside.id)
	if quota := beside.cgroupFile(t, "cpu", "cpu.cfs_quota_us"); quota != "50000" {
		t.Errorf("its quota is %s", quota)
	}
	scheduled(t, shielded, fifo())
	ok(t, "stop", shielded.id)
	scheduled(t, beside, ordinary())
	ok(t, "stop", beside.id)
}

// execBound is what docs/life.md promises of an exec into a container that spins at FIFO on its only CPU.
const execBound = 10 * time.Second

// spin is bounded by its own CPU time, whatever becomes of the test.
const spin = "ulimit -t 60; while :; do :; done"

func TestExecIntoAFIFOSpinnerAnswers(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, "sh", "-c", spin)
	scheduled(t, c, fifo())
	times := execs(t, c, shieldedCPU())
	if slowest := slices.Max(times); slowest > execBound {
		t.Errorf("exec answers within %v, promised are %v", slowest, execBound)
	}
	t.Logf("exec answers within %v", times)
	scheduled(t, c, fifo())
	ok(t, "kill", c.id)
	ok(t, "wait", c.id)
}

// execs says how long some take, which must be ordinary on these CPUs.
func execs(t *testing.T, c container, cpus string) (times []time.Duration) {
	t.Helper()
	for range 4 {
		begun := time.Now()
		if got := told(t, ok(t, "exec", c.id, "sh", "-c", testhost.TellSelf)); got != "OTHER 0 on "+cpus {
			t.Errorf("exec runs %s", got)
		}
		times = append(times, time.Since(begun))
	}
	return times
}

func TestExecOnHousekeepingAnswersAFIFOSpinnerAtOnce(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-aside", img, "sh", "-c", spin)
	scheduled(t, c, fifo())
	times := execs(t, c, others())
	t.Logf("exec answers within %v", times)
	// Docker keeps to the CPUs that it knows, or names none.
	ok(t, "update", "--memory", "64m", "--memory-swap", "64m", c.id)
	scheduled(t, c, fifo())
	ok(t, "kill", c.id)
	ok(t, "wait", c.id)
}
