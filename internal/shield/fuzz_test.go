package shield

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzCPUs: a list that is taken names what it says, and no more than a machine could have.
func FuzzCPUs(f *testing.F) {
	for _, list := range []string{"", "0", "0-3,8", "3-1", "1,1", " 2 - 3", "0-4294967295", "99999999999999999999", "-1", "1-", "0-3:1/2", "0,\n", "+1"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		cpus, err := ParseCPUs(list)
		if err != nil {
			if len(err.Error()) > 400 { // each letter may be written as an escape
				t.Errorf("the error has %d letters", len(err.Error()))
			}
			return
		}
		for _, cpu := range cpus.List() {
			if cpu < 0 || cpu > maxNumber || !names(list, cpu) {
				t.Errorf("%q is read as %s", list, cpus)
			}
		}
		text, _ := cpus.MarshalText()
		var again CPUs
		if err := again.UnmarshalText(text); err != nil || !again.Equals(cpus.CPUSet) {
			t.Errorf("%q is written %q and read as %s, %v", list, text, again, err)
		}
	})
}

func names(list string, cpu int) bool {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if errFrom == nil && errTo == nil && from <= cpu && cpu <= to {
			return true
		}
	}
	return false
}

// FuzzLedger: whatever stands in the file, a ledger is read as it will be written, or refused.
func FuzzLedger(f *testing.F) {
	const boot = "b"
	for _, text := range []string{
		"", "{", "null", "[]", `{"version":1,"bootID":"b"}`, `{"version":2,"bootID":"b"}`, `{"version":1,"bootID":"other","grants":[{}]}`,
		`{"version":1,"bootID":"b","housekeeping":"0","grants":[{"root":"/r","id":"web","cpus":"1","mems":"0","idle":"","policy":"fifo","priority":50,"irq":"away","level":"cpuset","owner":{"pid":7,"start":9},"bound":true,"cgroups":{"cpuset":"/x"}}],"baselines":{"irq 5":"0-1"}}`,
		`{"version":1,"bootID":"b","grants":[{"cpus":"0-4294967295"}]}`, `{"version":1,"bootID":"b","baselines":{"no such knob":"1"},"irqs":"1-3"}`,
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	store := Store{Dir: dir, BootID: boot}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(store.Path(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		ledger, err := store.Peek()
		if err != nil {
			if !strings.Contains(err.Error(), filepath.Base(store.Path())) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		_, _ = ledger.Held(), ledger.Away()
		_ = ledger.Noted(IRQ, Cpuset)
		text := (&Session{Ledger: ledger}).encode()
		if err := os.WriteFile(store.Path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := store.Peek()
		if err != nil {
			t.Fatalf("%q is written %q, which cannot be read: %v", data, text, err)
		}
		if other := (&Session{Ledger: again}).encode(); other != text {
			t.Errorf("%q is written\n%s\nand then\n%s", data, text, other)
		}
	})
}

// FuzzAnnotations: whatever annotations ask for, a container gets no more than its class allows, out of the pool.
func FuzzAnnotations(f *testing.F) {
	for _, text := range []string{
		"", "rtshield.io/class=fifo", "rtshield.io/class=fifo\nrtshield.io/priority=99", "rtshield.io/class=fifo\nrtshield.io/cpus=2\npriority.rtshield.io/web=7",
		"rtshield.io/class=deadline\nrtshield.io/deadline=900us/1ms/1ms", "rtshield.io/class=rr\nrtshield.io/policy=deadline",
		"rtshield.io/class=fifo\nrtshield.io/cpuset=0-4294967295", "rtshield.io/class=fifo\nrtshield.io/cpuset=0", "rtshield.io/=x", ".rtshield.io/web=1",
		"rtshield.io/class=batch\nrtshield.io/cstates=1ms\nrtshield.io/governor=../../x", "rtshield.io/class=fifo\nrtshield.io/irq-claim=*",
		"rtshield.io/class=fifo\nrtshield.io/cpus=3\nrtshield.io/numa=single\nrtshield.io/near=netdev ../eth1", "rtshield.io/class=fifo\nrtshield.io/near=pci 3b:00.0",
		"rtshield.io/class=fifo\nrtshield.io/hugepages=2Mi=3, 1Gi=1", "rtshield.io/class=fifo\nrtshield.io/hugepages=2Mi=9223372036854775807",
		"rtshield.io/class=fifo\nrtshield.io/smt=require\nrtshield.io/partition=root\nrtshield.io/irq=keep",
	} {
		f.Add(text, "web")
	}
	topology := twoNodes(f)
	layout := layoutOf(f, topology, "auto")
	classes, host := BuiltinClasses(), Host{Topology: topology, Level: LevelCpuset, Cpusets: true, HugePages: poolsOf(4, 2)}
	f.Fuzz(func(t *testing.T, text, container string) {
		annotations := map[string]string{}
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			annotations[key] = value
		}
		choices, _, err := ReadChoices(annotations, container)
		if err != nil {
			return
		}
		request := Request{Key: Key{Root: "/r", ID: "x"}, Name: "x", Choices: choices}
		if !request.Asks() {
			return
		}
		grant, err := Decide(classes, layout, host, &Ledger{}, request)
		if err != nil {
			return
		}
		class := classes[grant.Class]
		if !grant.Held().IsSubsetOf(layout.Pool.CPUSet) || grant.CPUs.Size() > class.MaxCPUs || grant.CPUs.IsEmpty() {
			t.Errorf("%q got CPU %s of %s", text, grant.CPUs, layout.Pool)
		}
		if grant.Priority > class.MaxPriority || grant.Policy.rank() > class.Policy.rank() || !slices.Contains(Policies, grant.Policy) {
			t.Errorf("%q got %s", text, grant.PolicyText())
		}
		if grant.Policy == Deadline && float64(grant.Deadline.Runtime)/float64(grant.Deadline.Period) > 0.5 {
			t.Errorf("%q got %s", text, grant.Deadline)
		}
		if strings.ContainsAny(grant.Near, "/\n") || grant.NUMA == NUMASingle && grant.Mems.Size() > 1 {
			t.Errorf("%q got memory of node %s, near %q", text, grant.Mems, grant.Near)
		}
		for _, share := range grant.HugePages {
			if !grant.Mems.Contains(share.Node) || share.Count > host.HugePages[share.Size][share.Node].Free || share.Reserved > 0 {
				t.Errorf("%q got huge pages %v", text, grant.HugePages)
			}
		}
		if len(grant.Claim) > 0 {
			t.Errorf("%q claims %q", text, grant.Claim)
		}
		if err := grant.Power.Validate(); err != nil {
			t.Errorf("%q got %v", text, err)
		}
	})
}
