package runc_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/irq"
)

// interrupt is one with a handler whose name no other has.
type interrupt struct{ number, name string }

// interruptsOf lists those that the kernel manages, or those that can be moved.
func interruptsOf(r *rig.Rig, managed bool) []interrupt {
	r.Helper()
	numbers, err := irq.Numbers(host.System)
	if err != nil {
		r.Fatal(err)
	}
	byName := map[string][]interrupt{}
	for _, number := range numbers {
		name := irq.Name(host.System, number)
		byName[name] = append(byName[name], interrupt{strconv.Itoa(number), name})
	}
	var found []interrupt
	for name, all := range byName {
		number, _ := strconv.Atoi(all[0].number)
		_, fixed, err := irq.Affinity(host.System, number)
		if name != "" && !strings.Contains(name, ",") && len(all) == 1 && err == nil && fixed == managed {
			found = append(found, all[0])
		}
	}
	if len(found) == 0 {
		r.Fatalf("this host has no interrupt with managed = %v", managed)
	}
	return found
}

func TestAClaimedInterruptComesToTheContainerAndGoesBack(t *testing.T) {
	classes := "[class.fifo]\nirq_claim = [\"*\"]\n[class.few]\npolicy = \"fifo\"\nirq_claim = [\"eth99-*\"]\n"
	rig.EachWith(t, testhost.Options{Classes: classes}, func(r *rig.Rig) {
		mine := interruptsOf(r, false)[0]
		r.Detach("c", r.Bundle("c", rig.Class("fifo"), rig.Annotate("irq-claim", mine.name)))
		file := filepath.Join("/proc/irq", mine.number, "smp_affinity_list")
		r.Eventual(func() error { return is(file, "1") })
		for _, number := range r.MovableIRQs(1) {
			if number != mine.number {
				r.Errorf("irq %s reaches CPU 1 though only %s was claimed", number, mine.number)
			}
		}
		if res := r.Must(r.Shield("status")); strings.Contains(res.Stdout, "claimed") {
			r.Errorf("a claim that holds is named as a limit: %s", res)
		}
		r.End("c")
		r.AsBefore("after a claim")

		refusedWhole(r, "nothing is called so", "json", r.Rtshield, r.Bundle("a", rig.Class("fifo"), rig.Annotate("irq-claim", mine.name+", eth99")),
			`claims interrupt "eth99"`, "/proc/interrupts")
		refusedWhole(r, "beyond the class", "json", r.Rtshield, r.Bundle("b", rig.Class("few"), rig.Annotate("irq-claim", mine.name)),
			"irq "+mine.number+" ("+mine.name, "class few allows only eth99-*")
		refusedWhole(r, "a class without", "json", r.Rtshield, r.Bundle("d", rig.Class("rr"), rig.Annotate("irq-claim", mine.name)),
			"class rr allows none", "irq_claim")
	})
}

func TestAManagedInterruptIsClaimedOnlyWhereItArrives(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: "[class.fifo]\nirq_claim = [\"*\"]\n"}, func(r *rig.Rig) {
		for _, managed := range interruptsOf(r, true) {
			bundle := r.Bundle("m"+managed.number, rig.Class("fifo"), rig.Annotate("irq-claim", managed.name))
			on := r.Text(filepath.Join("/proc/irq", managed.number, "smp_affinity_list"))
			if on == "0" {
				refusedWhole(r, "managed", "json", r.Rtshield, bundle, "claims irq "+managed.number, "CPU 0", irq.ErrManaged.Error())
				continue
			}
			r.Detach("m"+managed.number, bundle)
			status := r.Must(r.Shield("status")).Stdout
			if named := strings.Contains(status, managed.name+") is claimed, and may arrive on CPU "+on); named != (on != "1") {
				r.Errorf("irq %s arrives on CPU %s, and status says: %s", managed.name, on, status)
			}
			r.End("m" + managed.number)
		}
	})
}

func is(file, want string) error {
	data, err := os.ReadFile(file)
	if now := strings.TrimSpace(string(data)); err == nil && now != want {
		return &os.PathError{Op: "read " + now + ", want " + want, Path: file, Err: os.ErrInvalid}
	}
	return err
}
