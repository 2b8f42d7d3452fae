package interference

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// large is /proc/interrupts of a machine with many CPUs and devices.
func large(cpus, irqs int) string {
	var text strings.Builder
	row := func(label, tail string, seed int) {
		fmt.Fprintf(&text, "%4s:", label)
		for cpu := range cpus {
			fmt.Fprintf(&text, " %10d", (seed*cpu)%7*seed)
		}
		text.WriteString(tail + "\n")
	}
	text.WriteString("     ")
	for cpu := range cpus {
		fmt.Fprintf(&text, "%-11s", fmt.Sprintf("CPU%d", cpu))
	}
	text.WriteString("\n")
	for irq := range irqs {
		row(fmt.Sprint(irq), fmt.Sprintf(" PCI-MSIX-0000:00:02.0   %d-edge      dev%d-q%d", irq%64, irq/64, irq%64), irq)
	}
	row("LOC", "   Local timer interrupts", 99991)
	row("RES", "   Rescheduling interrupts", 991)
	return text.String()
}

func BenchmarkLargeMachine(b *testing.B) {
	text := large(512, 4096)
	root := tree(b, map[string]string{"proc/interrupts": text})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Read(root, cpuset.New(100, 101, 102, 103)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThisHost(b *testing.B) {
	for b.Loop() {
		if _, err := Read(host.System, cpuset.New(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestALargeMachineIsReadRight(t *testing.T) {
	got := read(t, tree(t, map[string]string{"proc/interrupts": large(512, 300)}), 100)[100]
	if n := got.Devices["299 dev4-q43"]; n != 299*100%7*299 || got.Ticks != 99991*100%7*99991 {
		t.Errorf("%d of irq 299, %d ticks", n, got.Ticks)
	}
}
