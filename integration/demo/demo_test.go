package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/demo/wake"
)

// Of a host whose CPU 1 is offline, cut to the kinds of rows there are.
const procInterrupts = `           CPU0       CPU2       
 26:          0         13  IO-APIC   4-edge      ttyS0
 36:          7      36345 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
LOC:      58816      59149   Local timer interrupts
ERR:          0
`

func TestParseInterrupts(t *testing.T) {
	got, err := parseInterrupts(procInterrupts)
	if err != nil {
		t.Fatal(err)
	}
	want := interrupts{26: {0: 0, 2: 13}, 36: {0: 7, 2: 36345}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	before := interrupts{26: {2: 13}, 36: {0: 1, 2: 36000}}
	if got, want := got.since(before, cpuset.New(2)), map[int]uint64{36: 345}; !reflect.DeepEqual(got, want) {
		t.Errorf("on CPU 2: got %v, want %v", got, want)
	}
}

func TestReaching(t *testing.T) {
	dir := t.TempDir()
	for irq, affinity := range map[string]struct {
		list   string
		mode   os.FileMode
		device string
	}{
		"30": {"0\n", 0o644, "eth0-rx"},
		"31": {"0-1\n", 0o644, "eth0-tx"},
		"36": {"0-1\n", 0o444, "virtio1-req.0"},
	} {
		if err := os.MkdirAll(filepath.Join(dir, irq, affinity.device), 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, irq, "smp_affinity_list")
		if err := os.WriteFile(file, []byte(affinity.list), affinity.mode); err != nil {
			t.Fatal(err)
		}
	}
	got, err := reachingAt(dir, cpuset.New(1))
	want := reach{total: 3, marked: true,
		fixed: map[int]string{36: "virtio1-req.0"}, movable: map[int]string{31: "eth0-tx"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// A terminal of 100 columns has to do, with numbers as bad as they get.
func TestTableFits(t *testing.T) {
	s := &stage{reached: reach{total: 20, fixed: map[int]string{36: "virtio1-req.0"}}}
	bad := round{
		Report: wake.Report{CPUs: "0-15", Late: []int64{17e3, 99999e3}},
		irqs:   map[int]uint64{36: 123456, 37: 1},
	}
	s.ways = []*way{
		{name: "runc", rounds: []round{bad}},
		{name: "runc + cpus=15", rounds: []round{bad}},
		{name: "rtshield", rounds: []round{bad}},
	}
	s.pinned, s.shield = s.ways[1], s.ways[2]
	var out strings.Builder
	s.print(&out)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line) - 1; n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(out.String(), "123457 (123456 fixed)") {
		t.Errorf("no count of interrupts in\n%s", out.String())
	}
}
