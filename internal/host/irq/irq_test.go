package irq

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

func TestMask(t *testing.T) {
	for _, c := range []struct {
		mask, again string
		list        string
	}{
		{"3", "3", "0-1"},
		{"f0", "f0", "4-7"},
		{"00000000,00000000,00000000,00000003", "3", "0-1"},
		{"80000000,00000001", "80000000,00000001", "0,63"},
		{"1,00000000,00000000", "1,00000000,00000000", "64"},
		{"0", "0", ""},
	} {
		cpus, err := ParseMask(c.mask)
		if err != nil || cpus.String() != c.list {
			t.Errorf("%s: %s %v", c.mask, cpus, err)
		}
		if got := FormatMask(cpus); got != c.again {
			t.Errorf("%s is written %s", c.list, got)
		}
	}
	for _, wrong := range []string{"", "g", "1,,2", "123456789"} {
		if _, err := ParseMask(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("ff,00000001")
	f.Fuzz(func(t *testing.T, text string) {
		cpus, err := ParseMask(text)
		if err != nil {
			return
		}
		again, err := ParseMask(FormatMask(cpus))
		if err != nil || !again.Equals(cpus) {
			t.Errorf("%q: %s became %s %v", text, cpus, again, err)
		}
	})
}

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
	if !Fixed(root, 10) || Fixed(root, 9) {
		t.Error("the managed interrupt is not told apart")
	}
	if Name(root, 9) != "eth0-rx,eth0-tx" || Name(root, 10) != "" {
		t.Error("names")
	}
	if err := SetAffinity(root, 9, cpuset.New(0, 1)); err != nil {
		t.Fatal(err)
	}
	if cpus, err := Affinity(root, 9); err != nil || cpus.String() != "0-1" {
		t.Errorf("%s %v", cpus, err)
	}
}
