package docker_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnImageCannotAsk(t *testing.T) {
	unchanged(t)
	// The image says RTSHIELD_CLASS=fifo in its environment and carries the label; the user adds what he can, too.
	c := start(t, "rtshield", "-e", "RTSHIELD_CLASS=fifo", "--label", "rtshield.io/class=fifo", asking, loop)
	scheduled(t, c, ordinary())
	if list := grants(t); len(list) > 0 {
		t.Errorf("it holds %+v", list)
	}
	if movable, _ := reaching(t, shieldedCPU()); len(movable) == 0 {
		t.Error("the interrupts have left for it")
	}
	ok(t, "stop", c.id)
	// And where the name of the runtime asks, the image's words are not what the container reads.
	out := ok(t, args("rtshield-fifo", "--rm", asking, "env")...)
	if !strings.Contains(out, "RTSHIELD_CPUS="+shieldedCPU()+"\n") || strings.Contains(out, "0-99") {
		t.Errorf("the image's RTSHIELD_CPUS is still there:\n%s", out)
	}
}

func TestAnOrdinaryContainerKeepsOffTheCPUWhileItIsHeld(t *testing.T) {
	unchanged(t)
	shielded := start(t, "rtshield-fifo", img, loop)
	beside := start(t, "rtshield", img, loop)
	scheduled(t, beside, "OTHER 0 on "+others())
	if cpus := beside.cgroupFile(t, "cpuset", "cpuset.cpus"); cpus != others() {
		t.Errorf("its cgroup has CPUs %s, want %s", cpus, others())
	}
	scheduled(t, shielded, fifo())

	ok(t, "stop", shielded.id)
	scheduled(t, beside, ordinary())
	if cpus := beside.cgroupFile(t, "cpuset", "cpuset.cpus"); cpus != all() {
		t.Errorf("afterwards its cgroup has CPUs %s, want %s", cpus, all())
	}

	// It lives on when the CPU is taken again, and makes room for it.
	again := start(t, "rtshield-fifo", img, loop)
	scheduled(t, again, fifo())
	if cpus := beside.cgroupFile(t, "cpuset", "cpuset.cpus"); cpus != others() {
		t.Errorf("beside the next one its cgroup has CPUs %s, want %s", cpus, others())
	}
	ok(t, "stop", beside.id)
	scheduled(t, again, fifo())
	ok(t, "stop", again.id)
}

func TestAnOrdinaryContainerWithAChosenCpusetGetsThatBack(t *testing.T) {
	unchanged(t)
	shielded := start(t, "rtshield-fifo", img, loop)
	refused(t, docker(t, args("rtshield", "--rm", "--cpuset-cpus", shieldedCPU(), img, "true")...), shielded.short())
	first := strings.FieldsFunc(others(), func(r rune) bool { return r == ',' || r == '-' })[0]
	beside := start(t, "rtshield", "--cpuset-cpus", first+","+shieldedCPU(), img, loop)
	scheduled(t, beside, "OTHER 0 on "+first)
	ok(t, "stop", shielded.id)
	scheduled(t, beside, "OTHER 0 on "+parse(first+","+shieldedCPU()).String())
	ok(t, "stop", beside.id)
}

// bundle gives the config.json that the delegate was started with.
func (c container) bundle(t *testing.T) (text string, dir string) {
	t.Helper()
	dir = filepath.Join(engine.path("exec"), "containerd/daemon/io.containerd.runtime.v2.task/moby", c.id)
	return read(t, filepath.Join(dir, "config.json")), dir
}

func TestWhenNobodyHoldsAnythingAnOrdinaryBundleIsNotTouched(t *testing.T) {
	unchanged(t)
	ordinary, beside := start(t, "rtshield", img, loop), start(t, "runc", img, loop)
	text, dir := ordinary.bundle(t)
	if strings.Contains(text, "rtshield") {
		t.Errorf("config.json speaks of rtshield: %s", text)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), "rtshield") {
			t.Errorf("in the bundle of an ordinary container: %s", entry.Name())
		}
	}
	// runc's is the same in every part that is not a container's own.
	other, _ := beside.bundle(t)
	mine, theirs := parts(t, text, ordinary.id), parts(t, other, beside.id)
	for name := range theirs {
		if mine[name] != theirs[name] {
			t.Errorf("%s differs:\n%s\nunder runc:\n%s", name, mine[name], theirs[name])
		}
	}
	if len(mine) != len(theirs) {
		t.Errorf("%d parts, under runc %d", len(mine), len(theirs))
	}

	// The counter-proof: what would show if it had been touched.
	shielded := start(t, "rtshield-fifo", img, loop)
	if text, _ := shielded.bundle(t); !strings.Contains(text, `"createRuntime"`) || !strings.Contains(text, "rtshield") {
		t.Errorf("a shielded container's config.json has no hooks of ours: %s", text)
	}
	for _, c := range []container{shielded, ordinary, beside} {
		ok(t, "stop", c.id)
	}
}

// parts cuts a config.json into its upper members, without what is different for every container.
func parts(t *testing.T, text, id string) map[string]string {
	t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, id, "ID"), id[:12], "ID")
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	result := map[string]string{}
	for name, member := range members {
		if name != "root" { // the storage driver's name for the layer
			result[name] = string(member)
		}
	}
	return result
}
