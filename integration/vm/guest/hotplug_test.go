//go:build vmguest

package guest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/snapshot"
)

// plug takes CPUs offline and brings them back.
func plug(t testing.TB, cpus ...int) {
	t.Helper()
	for _, cpu := range cpus {
		offline(t, cpu)
		online(t, cpu)
	}
}

func offline(t testing.TB, cpu int) { t.Helper(); setOnline(t, cpu, "0") }
func online(t testing.TB, cpu int)  { t.Helper(); setOnline(t, cpu, "1") }

func setOnline(t testing.TB, cpu int, value string) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", cpu), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// hotplugged is what the kernel itself changes for good when CPUs go and come: cgroup v1 takes them out of every cpuset.
type hotplugged struct {
	r             *rig
	cpus          []int
	before, after snapshot.Snapshot
	changed       []string
}

// control does it without any shield, and puts back what was lost.
func control(r *rig, cpus ...int) *hotplugged {
	r.Helper()
	h := &hotplugged{r: r, cpus: cpus, before: snapshot.Take()}
	plug(r, cpus...)
	h.after, h.changed = snapshot.Take(), r.before.Changed()
	for _, line := range h.changed {
		r.Logf("$ without a shield: %s", line)
	}
	h.heal()
	r.Cleanup(h.heal)
	r.before = snapshot.TakeHost()
	return h
}

// settle ends the comparison: what is not as before now is the kernel's.
func (h *hotplugged) settle() {
	h.heal()
	h.r.before = snapshot.TakeHost()
}

// heal writes the cpusets of cgroup v1 back, outermost first.
func (h *hotplugged) heal() {
	var paths []string
	for path, was := range h.before {
		if strings.HasSuffix(path, "/cpuset.cpus") && h.after[path] != was {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return len(a) - len(b) })
	for _, path := range paths {
		if err := os.WriteFile(path, []byte(h.before[path]), 0); err != nil {
			h.r.Errorf("put back by hand: %v", err)
		}
	}
}

// unchanged fails for what is neither as before nor as hotplug leaves it without a shield.
func (h *hotplugged) unchanged(when string) {
	h.r.Helper()
	now := snapshot.Take()
	for _, line := range h.r.before.Changed() {
		path, _, _ := strings.Cut(line, ": was ")
		is, there := now[path]
		was, kept := h.after[path]
		if lost := offlineLoss.FindStringSubmatch(line); lost != nil && h.lost(lost[1], lost[2]) {
			h.r.Log("limit: a thread that is first moved while a CPU is offline stays off that CPU: sched_getaffinity does not show it")
			h.r.Logf("$ %s", line)
			continue
		}
		if !ofItself(line) && !slices.Contains(h.changed, line) && (there != kept || is != was) {
			h.r.Errorf("%s: %s; without a shield it would be %q", when, line, was)
		}
	}
}

var offlineLoss = regexp.MustCompile(`^thread \d+ \(.*\) could run on (\S+), now on (\S+)$`)

// lost says whether a thread has lost nothing but CPUs that were offline for a while.
func (h *hotplugged) lost(was, is string) bool {
	return parse(h.r, was).Difference(parse(h.r, is)).IsSubsetOf(cpuset.New(h.cpus...)) && parse(h.r, is).IsSubsetOf(parse(h.r, was))
}

// holds fails unless nothing that can be moved may use these CPUs, and the container has its own.
func (r *rig) holds(when, id string, pid int) {
	r.Helper()
	for _, line := range r.holes(id, pid) {
		r.Errorf("%s: %s", when, line)
	}
}

func (r *rig) holes(id string, pid int) []string {
	r.Helper()
	var found []string
	grant := r.grant(id)
	held := grant.CPUs.Union(grant.Idle.CPUSet)
	if now := r.allowed(pid); now != grant.CPUs.String() {
		found = append(found, fmt.Sprintf("%s may run on CPU %s, granted %s", id, now, grant.CPUs))
	}
	for _, thread := range strays(r, held) {
		if !thread.kernel {
			found = append(found, fmt.Sprintf("thread %s (%s) may run on CPU %s, held is %s", thread.id, thread.name, thread.cpus, held))
		}
	}
	_, movable := interrupts(r)
	for number, name := range movable {
		if now := r.affinity(number); !now.Intersection(held).IsEmpty() {
			found = append(found, fmt.Sprintf("irq %s (%s) may arrive on CPU %s, held is %s", number, name, now, held))
		}
	}
	for what, file := range map[string]string{
		"new interrupts": "/proc/irq/default_smp_affinity", "unbound work": "/sys/devices/virtual/workqueue/cpumask",
	} {
		if mask := r.maskOf(text(r, file)); !mask.Intersection(held).IsEmpty() {
			found = append(found, fmt.Sprintf("%s may come to CPU %s, held is %s", what, mask, held))
		}
	}
	if grant.Level == "partition" {
		if kind := r.knob(id, "cpuset.cpus.partition"); kind != "isolated" {
			found = append(found, fmt.Sprintf("%s is a partition %q", id, kind))
		}
	}
	return found
}

// restored says what it took to have the shield again after something has happened: nothing, or a reconcile.
func (r *rig) restored(after, id string, pid int) {
	r.Helper()
	if holes := r.holes(id, pid); len(holes) > 0 {
		r.Logf("limit: after %s the shield takes an `rtshield reconcile`", after)
		r.Logf("$ before it: %q", holes)
	}
	r.must(r.command("reconcile"))
	r.holds("after "+after+" and reconcile", id, pid)
}

func TestTheShieldOutlivesHotplugOfOtherCPUs(t *testing.T) {
	once(t, func(r *rig) {
		first := r.begin("run", "probe", class("fifo"))
		now, held := r.status(), r.grant("probe")
		r.end("probe")
		_ = first
		house := now.Layout.Housekeeping.List()[now.Layout.Housekeeping.Size()-1]
		free := now.Layout.Pool.Difference(held.CPUs.Union(held.Idle.CPUSet)).List()[0]
		h := control(r, house, free)

		pid := r.begin("run", "a", class("fifo"))
		r.holds("before", "a", pid)
		offline(r, house)
		r.restored("a housekeeping CPU went offline", "a", pid)
		online(r, house)
		r.restored("a housekeeping CPU came back", "a", pid)
		offline(r, free)
		r.restored("a free CPU of the pool went offline", "a", pid)
		second := r.begin("run", "b", class("rr"))
		if cpus := r.grant("b").CPUs; cpus.Contains(free) {
			r.Errorf("CPU %d is offline, and granted", free)
		}
		online(r, free)
		r.restored("a free CPU of the pool came back", "a", pid)
		r.holds("after a free CPU of the pool came back", "b", second)
		r.end("a")
		r.end("b")
		h.unchanged("after the last delete")
		h.settle()
	})
}

func TestHotplugBetweenTwoContainersIsNoTraceOfOurs(t *testing.T) {
	once(t, func(r *rig) {
		layout := r.status().Layout
		house, pool := layout.Housekeeping.List()[layout.Housekeeping.Size()-1], layout.Pool.List()[0]
		h := control(r, house, pool)
		pid := r.begin("run", "a", class("fifo"))
		r.holds("the first", "a", pid)
		r.end("a")
		plug(r, house, pool)
		h.heal() // no container could have what is not above it
		pid = r.begin("run", "b", class("fifo"))
		r.holds("the second", "b", pid)
		r.end("b")
		h.unchanged("after the last delete")
		h.settle()
	})
}

// device is a PCI device that a driver has.
func device(t testing.TB, driver string) string {
	t.Helper()
	found, _ := filepath.Glob("/sys/bus/pci/drivers/" + driver + "/0000:*")
	if len(found) != 1 {
		t.Fatalf("this VM should have one device of %s: %q", driver, found)
	}
	return found[0]
}

// hotpluggable are the drivers whose devices come and go, in the order in which they get their interrupts: numbers are
// taken again by who asks first, and then an interrupt would get back what another had (seen on 6.1).
var hotpluggable = []string{"nvme", "e1000e"}

// unplug takes their devices off the bus and gives their addresses, plugBack brings them back, with new interrupts.
func unplug(r *rig) map[string]string {
	r.Helper()
	addresses := map[string]string{}
	for _, driver := range hotpluggable {
		addresses[driver] = filepath.Base(device(r, driver))
		r.put(device(r, driver)+"/remove", "1")
	}
	return addresses
}

func plugBack(r *rig, addresses map[string]string) {
	r.Helper()
	const bus = "/sys/bus/pci/"
	r.put(bus+"rescan", "1")
	for _, driver := range hotpluggable { // they race now, and start again one after the other
		r.eventually(func() error { return complete(r, driver) })
	}
	for _, driver := range hotpluggable {
		r.put(bus+"drivers/"+driver+"/unbind", addresses[driver])
	}
	for _, driver := range hotpluggable {
		r.put(bus+"drivers/"+driver+"/bind", addresses[driver])
		r.eventually(func() error { return complete(r, driver) })
	}
}

// complete: nvme asks for one interrupt first, gives it back, and asks for all, the last queue's last; a network card asks
// for its own when it is brought up.
func complete(r *rig, driver string) error {
	managed, movable := interrupts(r)
	all := strings.Join(slices.Concat(slices.Collect(maps.Values(managed)), slices.Collect(maps.Values(movable))), " ")
	if driver == "nvme" {
		if last := fmt.Sprintf("q%d", topology(r).Online.Size()); !strings.Contains(all+" ", last+" ") || !strings.Contains(all+" ", "q0 ") {
			return fmt.Errorf("nvme has not all of its interrupts: %s", all)
		}
		return nil
	}
	cards, _ := filepath.Glob("/sys/bus/pci/drivers/e1000e/*/net/*")
	for _, card := range cards {
		r.must(r.program("/bin/ip", "link", "set", filepath.Base(card), "up"))
	}
	if !strings.Contains(" "+all, " eth") {
		return fmt.Errorf("e1000e has no interrupts: %s", all)
	}
	return nil
}

// arrivals says where the interrupts that can be moved may arrive, by name.
func arrivals(r *rig) map[string]cpuset.CPUSet {
	r.Helper()
	affinities := map[string]cpuset.CPUSet{}
	_, movable := interrupts(r)
	for number, name := range movable {
		affinities[name] = r.affinity(number)
	}
	return affinities
}

func TestAnInterruptThatAppearsStaysOffGrantedCPUs(t *testing.T) {
	once(t, func(r *rig) {
		plugBack(r, unplug(r))
		want := arrivals(r) // without a shield
		addresses := unplug(r)
		r.before = snapshot.TakeHost()
		pid := r.begin("run", "a", class("fifo"), annotate("cpus", "1"))
		plugBack(r, addresses) // interrupts of which the ledger knows nothing
		r.restored("interrupts appeared", "a", pid)
		plugBack(r, unplug(r)) // and others, which have their numbers
		r.restored("interrupts appeared again", "a", pid)
		r.end("a")
		for name, is := range arrivals(r) {
			if was, there := want[name]; there && !is.Equals(was) {
				r.Errorf("afterwards irq %s may arrive on CPU %s; without a shield it would on %s", name, is, was)
			}
		}
		for _, line := range r.before.Changed() {
			ofDevice := strings.Contains(line, ": was not there, is ") || strings.Contains(line, "net_prio.ifpriomap")
			if !ofItself(line) && !ofDevice {
				r.Errorf("after delete: %s", line)
			}
		}
		r.before = snapshot.TakeHost()
	})
}
