//go:build vmguest

package systemd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/status"
)

const (
	cgroupMount = "/sys/fs/cgroup"
	// partitionType is that of a single CPU.
	partitionType = "isolated"
)

type container struct{ id string }

// start starts a container in the background and removes it after the test.
func start(t *testing.T, words ...string) container {
	t.Helper()
	words = append([]string{"docker", "run", "-d", "--net=none"}, words...)
	c := container{run(t, append(words, "img", "loop")...)}
	t.Cleanup(func() {
		if _, err := command(nil, "docker", "rm", "-f", c.id); err != nil && !strings.Contains(err.Error(), "No such container") {
			t.Error(err)
		}
	})
	return c
}

func shielded(t *testing.T) container { t.Helper(); return start(t, "--runtime=rtshield-fifo") }

func (c container) inspect(t testing.TB, what string) string {
	t.Helper()
	return run(t, "docker", "inspect", "--format", "{{"+what+"}}", c.id)
}

func (c container) pid(t testing.TB) int {
	t.Helper()
	pid, err := strconv.Atoi(c.inspect(t, ".State.Pid"))
	if err != nil || pid <= 1 {
		t.Fatalf("container %.12s runs as pid %d, %v", c.id, pid, err)
	}
	return pid
}

// cgroup is the container's scope, which systemd made.
func (c container) cgroup() string {
	return cgroupMount + "/system.slice/docker-" + c.id + ".scope"
}

// statusNow is `rtshield status --json`.
func statusNow(t testing.TB) status.Status {
	t.Helper()
	var now status.Status
	if err := json.Unmarshal([]byte(run(t, "rtshield", "status", "--json")), &now); err != nil {
		t.Fatal(err)
	}
	return now
}

func (c container) grant(t testing.TB) status.Grant { t.Helper(); return grantOf(t, c.id) }

func grantOf(t testing.TB, id string) status.Grant {
	t.Helper()
	now := statusNow(t)
	for _, grant := range now.Grants {
		if grant.ID == id {
			return grant
		}
	}
	t.Fatalf("status shows no grant of %s: %+v", id, now)
	return status.Grant{}
}

// heldBy are the CPUs that nobody else may use.
func heldBy(grant status.Grant) cpuset.CPUSet { return grant.CPUs.Union(grant.Idle.CPUSet) }

// partitions says whether this kernel makes remote partitions (Linux 6.7).
func partitions() bool {
	_, err := os.Stat(cgroupMount + "/system.slice/cpuset.cpus.exclusive")
	return err == nil
}

func text(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func parse(t testing.TB, list string) cpuset.CPUSet {
	t.Helper()
	set, err := cpuset.Parse(strings.TrimSpace(list))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func allowed(t testing.TB, pid int) cpuset.CPUSet {
	t.Helper()
	set, err := host.System.AllowedCPUs(pid)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (c container) holes(t testing.TB) []string {
	t.Helper()
	return holes(t, c.id, c.pid(t), c.cgroup())
}

// holes lists in what a container does not have what it was granted, read from the kernel. pid is its first process, cgroup
// the scope that systemd made for it.
func holes(t testing.TB, id string, pid int, cgroup string) []string {
	t.Helper()
	var found []string
	hole := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	grant := grantOf(t, id)
	if grant.State != "bound" || grant.PID != pid {
		hole("status says %s, pid %d; the container runs as pid %d", grant.State, grant.PID, pid)
	}
	if attr, err := unix.SchedGetAttr(pid, 0); err != nil || attr.Policy != unix.SCHED_FIFO || attr.Priority != 50 {
		hole("policy %+v, %v", attr, err)
	}
	if now := allowed(t, pid); !now.Equals(grant.CPUs.CPUSet) {
		hole("it may run on CPU %s, granted is %s", now, grant.CPUs)
	}
	knobs := map[string]string{"cpuset.cpus": grant.CPUs.String(), "cpuset.cpus.effective": grant.CPUs.String()}
	if grant.Level == "partition" {
		knobs["cpuset.cpus.partition"] = partitionType
		if grant.CPUs.Size() > 1 { // their load is balanced
			knobs["cpuset.cpus.partition"] = "root"
		}
		knobs["cpuset.cpus.exclusive"], knobs["cpuset.cpus.exclusive.effective"] = grant.CPUs.String(), grant.CPUs.String()
	}
	for file, want := range knobs {
		if now := text(t, filepath.Join(cgroup, file)); now != want {
			hole("%s of its scope is %q, want %q", file, now, want)
		}
	}
	if grant.Level == "partition" {
		for _, dir := range []string{cgroupMount, path.Dir(cgroup)} {
			if now := parse(t, text(t, dir+"/cpuset.cpus.effective")); !now.Intersection(heldBy(grant)).IsEmpty() {
				hole("CPU %s of %q is free for others", now, dir)
			}
		}
	}
	return append(found, strays(t, id, heldBy(grant))...)
}

// longID is a container's, another one in each run.
var longID = regexp.MustCompile(`[0-9a-f]{64}`)

// strays lists the threads outside of a container that may run on held, but for those of the kernel.
func strays(t testing.TB, id string, held cpuset.CPUSet) []string {
	t.Helper()
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, dir := range dirs {
		if exe, err := os.Readlink(dir + "/exe"); err != nil || exe == "" {
			continue // of the kernel, or ended
		}
		tid, _ := strconv.Atoi(filepath.Base(dir))
		now, err := host.System.AllowedCPUs(tid)
		cgroup, _ := os.ReadFile(dir + "/cgroup")
		if err != nil || strings.Contains(string(cgroup), id) || now.Intersection(held).IsEmpty() {
			continue
		}
		comm, _ := os.ReadFile(dir + "/comm")
		unit := longID.ReplaceAllString(path.Base(strings.TrimSpace(string(cgroup))), "ID")
		found = append(found, fmt.Sprintf("%s of %s may run on CPU %s, held is %s", strings.TrimSpace(string(comm)), unit, now, held))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// holds fails the test unless the container has what it was granted.
func (c container) holds(t testing.TB, when string) {
	t.Helper()
	for _, hole := range c.holes(t) {
		t.Errorf("%s: %s", when, hole)
	}
}

// holdsOrIsRestored accepts as second best that `rtshield reconcile` restores it, and says so.
func (c container) holdsOrIsRestored(t testing.TB, when string) {
	t.Helper()
	found := c.holes(t)
	if len(found) == 0 {
		t.Logf("%s it holds", when)
		return
	}
	run(t, "rtshield", "reconcile")
	if c.holds(t, when+", and reconcile"); !t.Failed() {
		t.Logf("limit: %s, until `rtshield reconcile`: %s", when, strings.Join(found, "; "))
	}
}

// ended fails unless nobody holds anything.
func ended(t testing.TB) {
	t.Helper()
	if grants := statusNow(t).Grants; len(grants) > 0 {
		t.Errorf("still held: %+v", grants)
	}
}
