package irq

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func TestInterruptsOfAHost(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/irq/9/smp_affinity_list", "0-3\n", 0o644)
	write("proc/irq/10/smp_affinity_list", "0-3\n", 0o444)
	write("proc/irq/0/node", "", 0o444) // no affinity: per-CPU
	write("proc/irq/default_smp_affinity", "f\n", 0o644)
	write("sys/kernel/irq/9/actions", "eth0-rx,eth0-tx\n", 0o444)
	root := host.Root(dir)
	numbers, err := Numbers(root)
	if err != nil || len(numbers) != 3 || numbers[2] != 10 {
		t.Errorf("%v %v", numbers, err)
	}
	for number, managed := range map[int]bool{9: false, 10: true} {
		if list, fixed, err := Affinity(root, number); list != "0-3" || fixed != managed || err != nil {
			t.Errorf("irq %d: %s, fixed %v, %v", number, list, fixed, err)
		}
	}
	if Name(root, 9) != "eth0-rx,eth0-tx" || Name(root, 10) != "" {
		t.Error("names")
	}
	if now, err := SetAffinity(root, 9, "0-1"); err != nil || now != "0-1" {
		t.Fatal(err)
	}
	if list, _, err := Affinity(root, 9); err != nil || list != "0-1" {
		t.Errorf("%s %v", list, err)
	}
}
