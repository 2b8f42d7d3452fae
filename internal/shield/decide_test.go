package shield

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"
)

func TestLayout(t *testing.T) {
	isolated := twoNodes(t)
	isolated.Isolated = set(t, "0,6-7")
	oneCPU := Topology{Online: set(t, "0"), Cores: []cpuset.CPUSet{set(t, "0")}}
	for _, c := range []struct {
		name         string
		topo         Topology
		shield       string
		pool, errors string
	}{
		{"automatic", twoCPUs(t), "", "1", ""},
		{"automatic leaves the whole first core", twoNodes(t), "auto", "1-7,9-15", ""},
		{"boot options win, but never CPU 0", isolated, "auto", "6-7", ""},
		{"one CPU", oneCPU, "auto", "", ""},
		{"by hand, CPU 0 included", twoNodes(t), "0-3", "0-3", ""},
		{"all of it", twoCPUs(t), "0-1", "", "left for housekeeping"},
		{"offline", twoCPUs(t), "1-2", "", "CPU 2 is not online"},
	} {
		layout, err := NewLayout(LayoutSpec{Shield: c.shield}, c.topo)
		if c.errors != "" {
			if err == nil || !strings.Contains(err.Error(), c.errors) {
				t.Errorf("%s: %v, want …%s…", c.name, err, c.errors)
			}
			continue
		}
		if err != nil || layout.Pool.String() != c.pool {
			t.Errorf("%s: pool %s %v, want %s", c.name, layout.Pool, err, c.pool)
		}
		if layout.Housekeeping.IsEmpty() || !layout.Housekeeping.Intersection(layout.Pool.CPUSet).IsEmpty() ||
			!layout.Housekeeping.Union(layout.Pool.CPUSet).Equals(c.topo.Online) {
			t.Errorf("%s: housekeeping %s, pool %s", c.name, layout.Housekeeping, layout.Pool)
		}
	}
}

func TestWhatIsAskedIsHeldToTheClass(t *testing.T) {
	scheduler := func(request Request, s Scheduler) Request { request.Scheduler = &s; return request }
	link := func(request Request, class string) Request { request.LinkClass = class; return request }
	without := func(request Request) Request { delete(request.Choices, "class"); return request }
	withCPUs := func(request Request, list string) Request { request.CPUs = list; return request }
	withMems := func(request Request, list string) Request { request.Mems = list; return request }
	rtprio := func(request Request, limit uint64) Request { request.RTPrio = limit; return request }
	for _, c := range []struct {
		request Request
		want    string // policy text, or part of the error
	}{
		{asks("a"), "fifo 50"},
		{asks("a", "priority", "80"), "fifo 80"},
		{asks("a", "priority", "99"), "annotation rtshield.io/priority asks for priority 99; class fifo allows at most 80"},
		{asks("a", "priority", "0"), "rtshield.io/priority = 0: expected a number, 1-99"},
		{asks("a", "priority", "high"), `rtshield.io/priority = "high": expected a number, 1-99`},
		{asks("a", "policy", "rr"), "rr 50"},
		{asks("a", "policy", "other"), "other"},
		{asks("a", "policy", "other", "priority", "5"), "policy other has no priority"},
		{asks("a", "policy", "deadline"), "asks for policy deadline, above class fifo"},
		{asks("a", "policy", "best"), "expected one of fifo, rr, deadline, other, batch"},
		{asks("a", "class", "batch", "policy", "fifo"), "above class batch"},
		{asks("a", "class", "gold"), `asks for class "gold", which this host does not have (it has batch, deadline, fifo, rr)`},
		{asks("a", "cpus", "0"), `rtshield.io/cpus = "0": expected a number of whole CPUs`},
		{asks("a", "cpus", "two"), `rtshield.io/cpus = "two": expected a number of whole CPUs`},
		{asks("a", "cpus", "9999"), "container a asks for 9999 CPUs; class fifo allows at most 4"},
		{asks("a", "cpuset", "0"), "container a asks for CPU 0; CPU 0 is not in the shield (1-7,9-15)"},
		{asks("a", "cpuset", "x"), `"x" is not a list of CPUs`},
		{asks("a", "cpuset", ""), "expected at least one CPU"},
		{asks("a", "cpuset", "1-2", "cpus", "3"), "asks for 3 CPUs, but annotation rtshield.io/cpuset names 2"},
		{asks("a", "deadline", "1ms/2ms/2ms"), "is for policy deadline"},
		{asks("a", "class", "deadline"), "deadline 500µs/1ms/1ms"},
		{asks("a", "class", "deadline", "deadline", "200us/1ms/1ms"), "deadline 200µs/1ms/1ms"},
		{asks("a", "class", "deadline", "deadline", "900us/1ms/1ms"), "allows at most the share of 500µs/1ms/1ms"},
		{asks("a", "class", "deadline", "deadline", "2ms/1ms/1ms"), "the kernel wants 1024ns ≤ runtime ≤ deadline ≤ period"},
		{asks("a", "smt", "maybe"), "expected one of prefer, require, isolate"},
		{asks("a", "irq", "no"), "expected one of away, keep"},
		{link(without(asks("a")), "rr"), "rr 50"},
		{link(asks("a"), "fifo"), "fifo 50"},
		{link(asks("a"), "rr"), `rtshield.io/class asks for class "fifo", but the runtime name rtshield-rr gives class rr`},
		{link(without(asks("a")), "gold"), `runtime name rtshield-gold asks for class "gold"`},
		{without(asks("a", "priority", "5")), "annotation rtshield.io/priority means nothing without a class"},
		{scheduler(without(asks("a")), Scheduler{Policy: "SCHED_FIFO", Priority: 7}), "fifo 7"},
		{scheduler(without(asks("a")), Scheduler{Policy: "SCHED_FIFO", Priority: 90}), "process.scheduler.priority asks for priority 90"},
		{scheduler(asks("a", "priority", "9"), Scheduler{Policy: "SCHED_FIFO", Priority: 7}), "fifo 9"},
		{scheduler(asks("a"), Scheduler{Policy: "SCHED_DEADLINE", Runtime: 1e5, Deadline: 1e6}), "above class fifo"},
		{withCPUs(asks("a"), "2-3"), "fifo 50"},
		{withCPUs(asks("a"), "0-1"), "CPU 0 is not in the shield"},
		{withMems(asks("a"), "0-1"), "fifo 50"},
		{withMems(asks("a"), "1"), "asks for memory node 1 (linux.resources.cpu.mems), but its CPUs 1 are next to node 0"},
		{rtprio(asks("a"), 99), "RLIMIT_RTPRIO 99 in process.rlimits is above the priority ceiling of class fifo, 80"},
	} {
		topo := twoNodes(t)
		grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "auto"), Host{Topology: topo}, &Ledger{}, c.request)
		got := grant.PolicyText()
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "\n") {
				t.Errorf("more than one line: %q", got)
			}
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.request, got, c.want)
		}
	}
}

func TestAClassWithAFuseAllowsNoLongerOne(t *testing.T) {
	classes := BuiltinClasses()
	fused := classes["fifo"]
	fused.Name, fused.RTTime = "fused", 500*time.Millisecond
	classes["fused"] = fused
	for _, c := range []struct {
		class string
		limit uint64
		want  string
	}{
		{"fifo", 1<<64 - 1, ""},
		{"fused", 1_000_000, ""},
		{"fused", 1_000_001, "RLIMIT_RTTIME 1000001 µs in process.rlimits is above that of class fused, 1000000"},
	} {
		request := asks("a", "class", c.class)
		request.RTTime = &c.limit
		_, err := Resolve(classes, request)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, %d µs: %v", c.class, c.limit, err)
		}
	}
}

func TestWhoHoldsWhatIsNamed(t *testing.T) {
	topo := Topology{Online: set(t, "0-7"), Nodes: map[int]cpuset.CPUSet{0: set(t, "0-7")}}
	for cpu := range 8 {
		topo.Cores = append(topo.Cores, cpuset.New(cpu))
	}
	layout := layoutOf(t, topo, "2-7")
	ledger := &Ledger{}
	for name, list := range map[string]string{"rt-a": "2-3", "rt-b": "4-5"} {
		ledger.Add(Grant{Key: Key{"/run/runc", name}, Name: name, CPUs: cpus(t, list)})
	}
	decide := func(request Request) string {
		grant, err := Decide(BuiltinClasses(), layout, Host{Topology: topo}, ledger, request)
		if err != nil {
			return err.Error()
		}
		return grant.CPUs.String()
	}
	for _, c := range []struct {
		request Request
		want    string
	}{
		{asks("web", "cpus", "4"), "container web asks for 4 CPUs of class fifo; 2 of 6 in the shield are free (2-3: rt-a, 4-5: rt-b): stop one, ask for 2, or widen [layout] shield"},
		{asks("web", "cpus", "2"), "6-7"},
		{asks("web", "cpuset", "5-6"), "container web asks for CPU 5-6; CPU 5 is taken (2-3: rt-a, 4-5: rt-b): stop one, or choose from 6-7"},
	} {
		if got := decide(c.request); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	empty := Layout{Housekeeping: cpus(t, "0")}
	_, err := Decide(BuiltinClasses(), empty, Host{Topology: topo}, &Ledger{}, asks("web"))
	if err == nil || !strings.Contains(err.Error(), "this host has no CPU to shield") {
		t.Error(err)
	}
}

func TestAllocation(t *testing.T) {
	for _, c := range []struct {
		name, shield string
		held         []string
		choices      []string
		cpus, idle   string
		mems         string
	}{
		{"isolate takes one thread and idles its sibling", "auto", nil, nil, "1", "9", "0"},
		{"two isolated cores on one node", "auto", nil, []string{"cpus", "2"}, "1-2", "9-10", "0"},
		{"best fit: the node with less left over", "auto", []string{"4", "5"}, []string{"cpus", "2"}, "6-7", "14-15", "1"},
		{"require takes whole cores", "auto", nil, []string{"cpus", "4", "smt", "require"}, "1-2,9-10", "", "0"},
		{"require refuses half a core", "auto", nil, []string{"cpus", "3", "smt", "require"}, "", "", ""},
		{"prefer fills cores, then splits one", "auto", nil, []string{"cpus", "3", "smt", "prefer"}, "1-2,9", "", "0"},
		{"a core cut by the layout is not whole", "1-7", nil, []string{"smt", "isolate"}, "", "", ""},
		{"prefer takes it all the same", "1-7", nil, []string{"smt", "prefer"}, "1", "", "0"},
		{"over both nodes when neither has enough", "auto", []string{"1", "4"}, []string{"cpus", "4"}, "2-3,5-6", "10-11,13-14", "0-1"},
	} {
		topo := twoNodes(t)
		layout := layoutOf(t, topo, c.shield)
		ledger := &Ledger{}
		for i, list := range c.held {
			held := set(t, list)
			ledger.Add(Grant{
				Key: Key{"/r", list}, Name: string(rune('a' + i)), CPUs: CPUsOf(held), Idle: CPUsOf(topo.Siblings(held).Difference(held)),
			})
		}
		grant, err := Decide(BuiltinClasses(), layout, Host{Topology: topo}, ledger, asks("x", c.choices...))
		if c.cpus == "" {
			if err == nil || !strings.Contains(err.Error(), "smt") {
				t.Errorf("%s: got %s, %v", c.name, grant.CPUs, err)
			}
			continue
		}
		if err != nil || grant.CPUs.String() != c.cpus || grant.Idle.String() != c.idle || grant.Mems.String() != c.mems {
			t.Errorf("%s: CPUs %s idle %s mems %s %v; want %s %s %s", c.name, grant.CPUs, grant.Idle, grant.Mems, err, c.cpus, c.idle, c.mems)
		}
	}
}

func TestBudgetIsAPartOfTheRoots(t *testing.T) {
	root := Budget{Runtime: 950000, Period: 1000000}
	for _, c := range []struct {
		root, asked Budget
		cpus, pool  int
		want        Budget
	}{
		{root, Budget{}, 1, 1, root},
		{root, Budget{}, 1, 6, Budget{158000, 1000000}},
		{root, Budget{}, 2, 6, Budget{316000, 1000000}},
		{root, Budget{Runtime: 100000}, 1, 6, Budget{100000, 1000000}},
		{root, Budget{Runtime: 5000, Period: 10000}, 1, 6, Budget{5000, 10000}},
		{Budget{-1, 1000000}, Budget{}, 1, 2, Budget{500000, 1000000}},
		{Budget{}, Budget{Runtime: 1}, 1, 1, Budget{}},
	} {
		if got := budgetShare(c.root, c.asked, c.cpus, c.pool); got != c.want {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}

func TestAnnotations(t *testing.T) {
	read := func(annotations map[string]string) (Choices, error) {
		choices, _, err := ReadChoices(annotations, "web")
		return choices, err
	}
	got, err := read(map[string]string{
		"rtshield.io/class": "fifo", "rtshield.io/priority": "10", "priority.rtshield.io/web": "20", "cpus.rtshield.io/db": "3",
		"other.io/class": "x", "rtshield.iox/y": "z", "notrtshield.io/class": "q",
	})
	if err != nil || len(got) != 2 || got["class"].Value != "fifo" || got["priority"] != (Choice{"20", "priority.rtshield.io/web"}) {
		t.Errorf("got %v %v", got, err)
	}
	for annotation, want := range map[string]string{
		"rtshield.io/prioritty":  "did you mean rtshield.io/priority?",
		"rtshield.io/cpu":        "did you mean rtshield.io/cpus?",
		"clas.rtshield.io/db":    "did you mean rtshield.io/class?",
		"rtshield.io/thread":     "did you mean rtshield.io/threads?",
		"rtshield.io/":           "no such key",
		"rtshield.io/class/fifo": "no such key",
	} {
		if _, err := read(map[string]string{annotation: "1"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", annotation, err, want)
		}
	}
}
