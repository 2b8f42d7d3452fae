package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/machines"
	"github.com/rtshield/rtshield/internal/shield"
)

// place decides for a container with these annotations on one of the machines, as create does.
func place(t *testing.T, root host.Root, class func(*shield.Class), choices ...string) (shield.Grant, error) {
	t.Helper()
	topo, err := root.Topology()
	if err != nil {
		t.Fatal(err)
	}
	facts := shield.Host{Topology: shield.Topology(topo)}
	layout, err := shield.NewLayout(shield.LayoutSpec{}, facts.Topology)
	if err != nil {
		t.Fatal(err)
	}
	classes := shield.BuiltinClasses()
	fifo := classes["fifo"]
	fifo.IRQClaim = []string{"eth*"}
	class(&fifo)
	classes["fifo"] = fifo
	request := shield.Request{Name: "web", Choices: shield.Choices{"class": {Value: "fifo", Source: "rtshield.io/class"}}}
	for i := 0; i < len(choices); i += 2 {
		request.Choices[choices[i]] = shield.Choice{Value: choices[i+1], Source: "rtshield.io/" + choices[i]}
	}
	terms, err := shield.Resolve(classes, request)
	if err != nil {
		return shield.Grant{}, err
	}
	if err := Inquire(root, &facts, layout, request.Name, terms); err != nil {
		return shield.Grant{}, err
	}
	return shield.Decide(classes, layout, facts, &shield.Ledger{}, request)
}

func TestAContainerIsPutNextToItsDevice(t *testing.T) {
	root := machines.Tree(t, "xeon-two-sockets")
	for number, node := range map[string]string{"40": "1", "41": "0", "42": "-1"} {
		for path, text := range map[string]string{
			"proc/irq/" + number + "/node": node, "sys/kernel/irq/" + number + "/actions": map[string]string{"40": "eth1-rx-0", "41": "eth0-rx-0", "42": "eth2"}[number],
		} {
			path = root.Path(path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	asItIs := func(*shield.Class) {}
	for _, c := range []struct {
		class   func(*shield.Class)
		choices []string
		want    string // CPUs, or a part of the error
	}{
		{asItIs, nil, "1"},
		{asItIs, []string{"near", "netdev eth1"}, "24"},
		{asItIs, []string{"near", "pci 0000:86:00.0"}, "24"},
		{asItIs, []string{"near", "pci 18:00.0"}, "1"},
		{asItIs, []string{"near", "irq-claim", "irq-claim", "eth1-rx-*"}, "24"},
		{asItIs, []string{"near", "irq-claim", "irq-claim", "eth0-rx-*"}, "1"},
		{asItIs, []string{"near", "irq-claim", "irq-claim", "eth?-rx-*", "numa", "single"}, "1"}, // on either
		{func(c *shield.Class) { c.Near = shield.Near{Kind: "netdev", Name: "eth1"} }, nil, "24"},
		{func(c *shield.Class) { c.Near = shield.Near{Kind: "irq-claim"} }, nil, "1"},
		{func(c *shield.Class) { c.Near = shield.Near{Kind: "irq-claim"} }, []string{"irq-claim", "eth1-rx-0"}, "24"},
		{asItIs, []string{"near", "netdev eth1", "cpuset", "3", "numa", "single"}, "CPU 3, on node 0, but near is netdev eth1, on node 1"},
		{asItIs, []string{"near", "netdev eth9"}, "container web asks to be near netdev eth9: this host has no such device"},
		{asItIs, []string{"near", "netdev br0"}, "no such device"},
		{asItIs, []string{"near", "pci 0000:00:1f.0"}, "this host's firmware does not tell which node that is on"},
		{asItIs, []string{"near", "irq-claim", "irq-claim", "eth2"}, "does not tell which node"},
	} {
		grant, err := place(t, root, c.class, c.choices...)
		got := grant.CPUs.String()
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%v: got %s, want %s", c.choices, got, c.want)
		}
	}
}

// On a machine with one node everything is near, but a device must be there.
func TestADeviceThatIsNotThereIsRefusedOnOneNodeToo(t *testing.T) {
	root := machines.Tree(t, "isolated-at-boot")
	if _, err := place(t, root, func(*shield.Class) {}, "near", "netdev eth9"); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Error(err)
	}
}

// What create reads for one container gives the same CPUs as reading all of the machine.
func TestWhatIsNotReadDoesNotChangeTheChoice(t *testing.T) {
	for _, name := range machines.Names(t) {
		for _, choices := range [][]string{nil, {"cpus", "2"}, {"cpus", "3", "smt", "prefer"}, {"cpuset", "3"}, {"cpuset", "2-3", "smt", "prefer", "numa", "single"}} {
			root := machines.Tree(t, name)
			some, err := place(t, root, func(*shield.Class) {}, choices...)
			topo, _ := root.Topology()
			_ = root.Cores(&topo, topo.Online)
			_ = root.Domains(&topo, topo.Online)
			layout, _ := shield.NewLayout(shield.LayoutSpec{}, shield.Topology(topo))
			request := shield.Request{Name: "web", Choices: shield.Choices{"class": {Value: "fifo"}}}
			for i := 0; i < len(choices); i += 2 {
				request.Choices[choices[i]] = shield.Choice{Value: choices[i+1], Source: "rtshield.io/" + choices[i]}
			}
			all, errAll := shield.Decide(shield.BuiltinClasses(), layout, shield.Host{Topology: shield.Topology(topo)}, &shield.Ledger{}, request)
			if some.CPUs.String() != all.CPUs.String() || some.Idle.String() != all.Idle.String() || some.Mems.String() != all.Mems.String() || (err == nil) != (errAll == nil) {
				t.Errorf("%s, %v: CPU %s (%v), with all read %s (%v)", name, choices, some.CPUs, err, all.CPUs, errAll)
			}
		}
	}
}
