package docker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDockersOwnCpusetIsARequestToo(t *testing.T) {
	unchanged(t)
	first := strings.FieldsFunc(others(), func(r rune) bool { return r == ',' || r == '-' })[0]
	r := docker(t, args("rtshield-fifo", "--rm", "--cpuset-cpus", first, img, "true")...)
	refused(t, r, "asks for CPU "+first, "not in the shield ("+shieldedCPU()+")")
	r = docker(t, args("rtshield-fifo", "--rm", "--cpuset-cpus", all(), img, "true")...)
	refused(t, r, "shield")

	out := ok(t, args("rtshield-fifo", "--rm", "--cpuset-cpus", shieldedCPU(), img, "sh", "-c", tell)...)
	if got := told(t, out); got != fifo() {
		t.Errorf("with the shield's CPU by name it runs %s, want %s", got, fifo())
	}
}

func TestAnRtprioAboveTheCeilingIsRefused(t *testing.T) {
	unchanged(t)
	r := docker(t, args("rtshield-fifo", "--rm", "--ulimit", "rtprio=99", img, "true")...)
	refused(t, r, "99", "80", "max_priority")
	if list := grants(t); len(list) > 0 {
		t.Errorf("the refused one holds %+v", list)
	}
	// An rlimit that is no request is left to runc, which writes it.
	out := ok(t, args("rtshield-fifo", "--rm", "--ulimit", "nofile=77", img, "sh", "-c", "ulimit -n")...)
	if out != "77" {
		t.Errorf("nofile is %s", out)
	}
}

func TestTheQuotaOfAShieldedContainerIsLifted(t *testing.T) {
	unchanged(t)
	const file = "cpu.cfs_quota_us"
	// Otherwise a real-time process is not throttled by it, but every other in the container is.
	c := start(t, "rtshield-fifo", "--cpus", "0.5", img, loop)
	if quota := c.cgroupFile(t, "cpu", file); quota != "-1" {
		t.Errorf("%s is %s, want -1", file, quota)
	}
	scheduled(t, c, fifo())
	ok(t, "stop", c.id)

	c = start(t, "rtshield", "--cpus", "0.5", img, loop)
	if quota := c.cgroupFile(t, "cpu", file); quota != "50000" {
		t.Errorf("of an ordinary container %s is %s, want 50000", file, quota)
	}
	ok(t, "stop", c.id)
}

func TestWhateverItsRightsThePolicyIsTheSame(t *testing.T) {
	for name, rights := range map[string][]string{
		"none":                     {"--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--user=1000:1000"},
		"to change its priority":   {"--cap-add=SYS_NICE"},
		"the host's pid namespace": {"--pid=host", "--ipc=host"},
		"an init of Docker's":      {"--init"},
	} {
		t.Run(name, func(t *testing.T) {
			unchanged(t)
			c := start(t, "rtshield-fifo", append(rights, img, loop)...)
			scheduled(t, c, fifo())
			ok(t, "stop", "-t", "1", c.id)
		})
	}
}

// The kernel gives a group no more real-time budget than its parent has, so all above have to be funded.
func TestCgroupsAboveItGetABudgetAndGiveItBack(t *testing.T) {
	unchanged(t)
	const file = "cpu.rt_runtime_us"
	top := engine.Cgroup + "/top"
	if _, err := os.Stat("/sys/fs/cgroup/cpu/" + file); err != nil {
		t.Skip("this kernel gives cgroups no real-time budget (no RT_GROUP_SCHED, or cgroup v2)")
	}
	t.Cleanup(func() { // the engine leaves them
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + top)
		for _, dir := range dirs {
			for _, dir := range []string{dir + "/below", dir} {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}
		}
	})
	c := start(t, "rtshield-fifo", "--cgroup-parent", top+"/below", img, loop)
	scheduled(t, c, fifo())
	above := []string{engine.Cgroup, top, top + "/below"}
	for _, dir := range above {
		if budget := read(t, "/sys/fs/cgroup/cpu"+dir+"/"+file); budget == "0" {
			t.Errorf("%s of %s is %s while the container runs", file, dir, budget)
		}
	}
	ok(t, "stop", c.id)
	for _, dir := range above {
		if budget := read(t, "/sys/fs/cgroup/cpu"+dir+"/"+file); budget != "0" {
			t.Errorf("%s of %s is %s afterwards, was 0", file, dir, budget)
		}
	}
}
