package kubelet

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
)

// eight CPUs, two threads a core, of which the first core keeps house.
func eight(t *testing.T) Ours {
	topo := shield.Topology{Online: set(t, "0-7"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-7")}}
	for core := range 4 {
		topo.Cores = append(topo.Cores, cpuset.New(core, core+4))
	}
	layout, err := shield.NewLayout(shield.LayoutSpec{}, topo)
	if err != nil {
		t.Fatal(err)
	}
	return Ours{Layout: layout, Topology: topo, Threads: true}
}

func TestTheTwoAreComparedBothWays(t *testing.T) {
	fit := Config{CPUManagerPolicy: "static", CPUManagerOptions: map[string]string{"full-pcpus-only": "true"}, Reserved: set(t, "0,4")}
	with := func(change func(*Config)) *Config {
		config := fit
		change(&config)
		return &config
	}
	state := func(entries, shared string) *State {
		state, err := ParseState([]byte(`{"policyName":"static","defaultCpuSet":"` + shared + `","entries":{` + entries + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	none, err := ParseState([]byte(manual))
	if err != nil {
		t.Fatal(err)
	}
	grant := func(name, cpus, pod string) shield.Grant {
		return shield.Grant{Name: name, CPUs: shield.CPUsOf(set(t, cpus)), Pod: shield.Pod{UID: pod}}
	}
	for name, c := range map[string]struct {
		node   Node
		change func(*Ours)
		want   []string // "grave" or "mild", the CPUs, words
	}{
		"fit":                              {Node{&fit, state(`"8f":{"app":"1,5"}`, "0,2-4,6-7")}, func(o *Ours) { o.Grants = []shield.Grant{grant("app", "1,5", "8f")} }, nil},
		"no kubelet":                       {Node{}, nil, nil},
		"no state yet":                     {Node{Config: &fit}, nil, nil},
		"no configuration found":           {Node{State: state(`"8f":{"app":"1,5"}`, "0,2-4,6-7")}, nil, nil},
		"policy none":                      {Node{with(func(c *Config) { c.CPUManagerPolicy = "" }), none}, nil, []string{"mild 1-3,5-7 the kubelet counts CPU 1-3,5-7 for all pods"}},
		"policy none, and engine":          {Node{State: none}, func(o *Ours) { o.CPUsFrom = shield.FromEngine }, []string{"grave  policy none, and [layout] cpus_from is engine", "mild 1-3,5-7 "}},
		"static, and rtshield chooses":     {Node{Config: &fit}, func(o *Ours) { o.CPUsFrom = shield.FromRtshield }, []string{"grave  cpus_from is rtshield"}},
		"less reserved than keeps house":   {Node{Config: with(func(c *Config) { c.Reserved = set(t, "0") })}, nil, []string{"grave 4 the kubelet may give CPU 4 to a pod"}},
		"more reserved than keeps house":   {Node{Config: with(func(c *Config) { c.Reserved = set(t, "0-1,4-5") })}, nil, []string{"mild 1,5 CPU 1,5 are in rtshield's shield"}},
		"nothing reserved":                 {Node{Config: with(func(c *Config) { c.Reserved = cpuset.New() })}, nil, []string{"grave 0,4 nothing keeps the kubelet from giving CPU 0,4"}},
		"given away outside of the shield": {Node{&fit, state(`"8f":{"app":"0-1"}`, "2-7")}, nil, []string{"mild 0 the kubelet has given CPU 0 away (app of pod 8f)"}},
		"both have given it away": {Node{&fit, state(`"8f":{"app":"1,5"}`, "0,2-4,6-7")}, func(o *Ours) { o.Grants = []shield.Grant{grant("web", "5-6", "")} }, []string{
			"grave 5 CPU 5 is container web's by rtshield, and container app of pod 8f's by the kubelet", "mild 6 CPU 6 is container web's, and the kubelet counts it for its pods",
		}},
		"a sibling kept idle is another pod's": {Node{&fit, state(`"8f":{"app":"1"},"9a":{"db":"5"}`, "0,2-4,6-7")}, func(o *Ours) {
			g := grant("app", "1", "8f")
			g.Idle = shield.CPUsOf(set(t, "5"))
			o.Grants = []shield.Grant{g}
		}, []string{"grave 5 CPU 5 is container app's by rtshield, and container db of pod 9a's"}},
		"an init container's CPUs are the pod's": {Node{&fit, state(`"8f":{"app":"1,5","setup":"1,5"}`, "0,2-4,6-7")}, func(o *Ours) { o.Grants = []shield.Grant{grant("app", "1,5", "8f")} }, nil},
		"reserve always":                         {Node{&fit, state("", "0-7")}, func(o *Ours) { o.Layout.ReserveAlways = true }, []string{"mild 1-3,5-7 the kubelet's shared pool has CPU 1-3,5-7"}},
		"threads of a core apart":                {Node{Config: with(func(c *Config) { c.CPUManagerOptions = nil })}, nil, []string{"grave  the kubelet may give a pod one thread of a core"}},
		"and nobody minds":                       {Node{Config: with(func(c *Config) { c.CPUManagerOptions = nil })}, func(o *Ours) { o.Threads = false }, nil},
		"two nodes":                              {Node{Config: &fit}, func(o *Ours) { o.Topology.Nodes = map[int]cpuset.CPUSet{0: set(t, "0-3"), 1: set(t, "4-7")} }, []string{"mild  the kubelet may give a pod CPUs of several NUMA nodes"}},
	} {
		ours := eight(t)
		if c.change != nil {
			c.change(&ours)
		}
		findings := Compare(c.node, ours)
		if len(findings) != len(c.want) {
			t.Errorf("%s: %+v", name, findings)
			continue
		}
		for i, finding := range findings {
			mark := map[bool]string{true: "grave ", false: "mild "}[finding.Grave] + finding.CPUs.String() + " "
			want, words := c.want[i][:min(len(mark), len(c.want[i]))], strings.TrimPrefix(c.want[i], mark)
			if mark != want || !strings.Contains(finding.What, words) || finding.Why == "" || finding.Help == "" {
				t.Errorf("%s: %s%+v, want %q", name, mark, finding, c.want[i])
			}
		}
	}
}

// The nodes of docs/kubernetes.md are fit: with its KubeletConfiguration and its [layout] neither side is at odds with the other.
func TestTheConfigurationsOfTheDocumentFit(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	machines := []struct{ threads, cores, nodes int }{{2, 2, 1}, {8, 4, 1}, {32, 16, 1}, {128, 64, 2}}
	seen := 0
	for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, closed := strings.Cut(block, "```")
		if !closed || !strings.Contains(block, "KubeletConfiguration") {
			continue
		}
		before, _, _ := strings.Cut(string(text), block)
		title := before[strings.LastIndex(before, "\n**"):]
		if seen >= len(machines) || !strings.Contains(title, fmt.Sprintf("**%d ", machines[seen].threads)) {
			t.Fatalf("block %d is of no machine that is known: %q", i, title)
		}
		machine := machines[seen]
		topo := shield.Topology{Nodes: map[int]cpuset.CPUSet{}}
		for core := range machine.cores {
			threads := cpuset.New(core)
			if machine.threads > machine.cores {
				threads = cpuset.New(core, core+machine.cores)
			}
			node := core * machine.nodes / machine.cores
			topo.Cores, topo.Online, topo.Nodes[node] = append(topo.Cores, threads), topo.Online.Union(threads), topo.Nodes[node].Union(threads)
		}
		spec := shield.LayoutSpec{}
		if _, said, found := strings.Cut(title, "`[layout] shield = \""); found {
			spec.Shield, _, _ = strings.Cut(said, `"`)
		}
		layout, err := shield.NewLayout(spec, topo)
		if err != nil {
			t.Fatal(err)
		}
		config, err := ParseConfig([]byte(block))
		if err != nil {
			t.Fatal(err)
		}
		if findings := Compare(Node{Config: config}, Ours{Layout: layout, Topology: topo, Threads: true}); len(findings) > 0 {
			t.Errorf("%d threads: %+v", machine.threads, findings)
		}
		seen++
	}
	if seen != len(machines) {
		t.Errorf("%d of %d were found", seen, len(machines))
	}
}
