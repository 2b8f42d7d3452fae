//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
)

// The devices of integration/vm. The kernel manages the queues of disks; nvme's first queue is for administration and
// can be moved.
var (
	managedName = regexp.MustCompile(`^(virtio\d+-req\.\d+|nvme\d+q[1-9]\d*)$`)
	movableName = regexp.MustCompile(`^(virtio\d+-(config|input\.\d+|output\.\d+)|nvme\d+q0|(eth|enp)\w+(-.*)?|ttyS\d)$`)
)

// interrupts lists the numbers of those with a handler, by sort.
func interrupts(t testing.TB) (managed, movable map[string]string) {
	t.Helper()
	managed, movable = map[string]string{}, map[string]string{}
	dirs, _ := filepath.Glob("/sys/kernel/irq/*/actions")
	for _, file := range dirs {
		number, name := filepath.Base(filepath.Dir(file)), text(t, file)
		switch {
		case managedName.MatchString(name):
			managed[number] = name
		case movableName.MatchString(name):
			movable[number] = name
		}
	}
	if len(managed) == 0 || len(movable) == 0 {
		all, _ := os.ReadFile("/proc/interrupts")
		t.Fatalf("this VM should have managed and movable interrupts: managed %v, movable %v\n%s", managed, movable, all)
	}
	return managed, movable
}

func (r *rig) affinity(number string) cpuset.CPUSet {
	r.Helper()
	return parse(r, text(r, "/proc/irq/"+number+"/smp_affinity_list"))
}

func (r *rig) maskOf(mask string) cpuset.CPUSet {
	r.Helper()
	set, err := host.ParseMask(mask)
	if err != nil {
		r.Fatal(err)
	}
	return set
}

func TestMovableInterruptsLeaveGrantedCPUs(t *testing.T) {
	once(t, func(r *rig) {
		r.begin("run", "a", class("fifo"), annotate("cpus", "2"))
		grant := r.grant("a")
		held := grant.CPUs.Union(grant.Idle.CPUSet)
		_, movable := interrupts(r)
		for number, name := range movable {
			if now := r.affinity(number); !now.Intersection(held).IsEmpty() {
				r.Errorf("irq %s (%s) may arrive on CPU %s, held is %s", number, name, now, held)
			}
			for _, limit := range grant.Limits {
				if strings.HasPrefix(limit.What, "irq "+number+" ") && !strings.Contains(limit.What, "once more") {
					r.Errorf("it could be moved, and status says: %s", limit)
				}
			}
		}
		mask, err := os.ReadFile("/proc/irq/default_smp_affinity")
		if err != nil {
			r.Fatal(err)
		}
		if now := r.maskOf(string(mask)); !now.Intersection(held).IsEmpty() {
			r.Errorf("new interrupts would come to CPU %s, held is %s", now, held)
		}
		r.end("a")
		r.asBefore("after delete")
	})
}

func TestManagedInterruptsAreNamedAsLimits(t *testing.T) {
	once(t, func(r *rig) {
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		held := grant.CPUs.Union(grant.Idle.CPUSet)
		managed, _ := interrupts(r)
		reaching := 0
		for number, name := range managed {
			if r.affinity(number).Intersection(held).IsEmpty() {
				continue
			}
			reaching++
			found := false
			for _, limit := range grant.Limits {
				if strings.HasPrefix(limit.What, fmt.Sprintf("irq %s (%s) ", number, name)) {
					found = true
					if limit.Why != irq.ErrManaged.Error() || !strings.Contains(limit.Help, "managed_irq") {
						r.Errorf("irq %s (%s) is a limit for the wrong reason: %s", number, name, limit)
					}
				}
			}
			if !found {
				r.Errorf("irq %s (%s) may arrive on CPU %s and is not among the limits: %v", number, name, r.affinity(number), grant.Limits)
			}
		}
		if reaching == 0 {
			r.Errorf("no managed interrupt reaches CPU %s: nothing was tested", held)
			return
		}
		r.Logf("limit: %s (a queue for each CPU of nvme and virtio_blk)", irq.ErrManaged)
	})
}

func TestInterruptsStayWhereAClassKeepsThem(t *testing.T) {
	once(t, func(r *rig) {
		r.begin("run", "a", class("fifo"), annotate("irq", "keep"))
		for path, was := range r.before.Settings {
			if strings.HasPrefix(path, "/proc/irq/") {
				if now := text(r, path); now != strings.TrimSpace(was) {
					r.Errorf("%s is %q, was %q", path, now, was)
				}
			}
		}
	})
}
