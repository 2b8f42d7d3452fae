package shield

import (
	"strings"
	"testing"
)

// xeon is the L3 of two sockets, of 20 ways each, of which devices fill the two highest.
func xeon(edit func(*Cache)) Cache {
	cache := Cache{Full: 0xfffff, Shareable: 0xc0000, MinWays: 1, CLOSIDs: 4, Groups: map[string]Ways{}, Domains: map[int]int{}}
	for cpu := range 16 {
		cache.Domains[cpu] = cpu / 4 % 2
	}
	if edit != nil {
		edit(&cache)
	}
	return cache
}

func TestWaysOfTheL3AreNobodyElses(t *testing.T) {
	topo := twoNodes(t)
	layout := layoutOf(t, topo, "1-7,9-15")
	with := func(id string, ways Ways) Grant { return Grant{Key: Key{"/r", id}, Name: id, Bound: true, Ways: ways} }
	group := func(name string, ways Ways) func(*Cache) { return func(c *Cache) { c.Groups[name] = ways } }
	for _, c := range []struct {
		name   string
		n      int
		cpus   string
		edit   func(*Cache)
		grants []Grant
		want   string // ways, or words of the error
	}{
		{"the lowest first", 4, "2", nil, nil, "0=f"},
		{"of the CPU's own L3", 4, "5", nil, nil, "1=f"},
		{"of both", 2, "2,5", nil, nil, "0=3;1=3"},
		{"beside another container's", 4, "2", nil, []Grant{with("a", Ways{0: 0xf})}, "0=f0"},
		{"what another in the middle has left", 4, "2", nil, []Grant{with("b", Ways{0: 0xf0})}, "0=f"},
		{"another L3 is no matter", 4, "2", nil, []Grant{with("a", Ways{1: 0xf})}, "0=f"},
		{"a container's group is not counted twice", 4, "2", group("a", Ways{0: 0xf, 1: 0xfffff}), []Grant{with("a", Ways{0: 0xf})}, "0=f0"},
		{"off a group of somebody's, and the others stay together", 4, "2", group("kubelet", Ways{0: 0xff}), nil, "0=3c000"},
		{"a group that fills all", 4, "2", group("kubelet", Ways{0: 0xfffff}), nil, "L3 0 has not so many side by side that nobody else fills (all: fffff; devices: c0000; kubelet: 0=fffff)"},
		{"what devices fill is not alone", 18, "2", nil, nil, "0=3ffff"},
		{"nor is it enough", 19, "2", nil, nil, "has not so many side by side"},
		{"more than there are", 20, "2", nil, nil, "this host has 20, of which a group may have 1 or more, and all other tasks need some"},
		{"fewer than the processor takes", 1, "2", func(c *Cache) { c.MinWays = 2 }, nil, "a group may have 2 or more"},
		{"no group left", 2, "2", group("kubelet", Ways{0: 0xff}), []Grant{with("a", Ways{1: 3}), with("b", Ways{1: 0xc})},
			"all 4 groups that the processor knows are taken (a: 1=3, b: 1=c, kubelet: 0=ff): stop one, or remove groups below /sys/fs/resctrl"},
		{"a host that cannot", 2, "2", func(c *Cache) { c.Why = "the processor cannot divide its L3" }, nil,
			"container web asks for 2 ways of the L3 of its own (class fifo, l3): this host cannot: the processor cannot divide its L3"},
		{"a CPU without L3", 2, "2", func(c *Cache) { delete(c.Domains, 2) }, nil, "CPU 2 has no L3"},
		{"shared", 0, "2", func(c *Cache) { c.Why = "it cannot" }, nil, ""},
	} {
		classes := BuiltinClasses()
		fifo := classes["fifo"]
		fifo.L3 = c.n
		classes["fifo"] = fifo
		grant, err := Decide(classes, layout, Host{Topology: topo, Level: LevelCpuset, Cpusets: true, Cache: xeon(c.edit)}, &Ledger{Grants: c.grants}, asks("web", "cpuset", c.cpus))
		got := grant.Ways.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	request := asks("web", "cpuset", "2")
	request.HasRDT = true
	classes := BuiltinClasses()
	fifo := classes["fifo"]
	fifo.L3 = 2
	classes["fifo"] = fifo
	if _, err := Decide(classes, layout, Host{Topology: topo, Level: LevelCpuset, Cpusets: true, Cache: xeon(nil)}, &Ledger{}, request); err == nil || !strings.Contains(err.Error(), "linux.intelRdt already") {
		t.Errorf("with an intelRdt of its own: %v", err)
	}
}

// All other tasks have what is left, side by side, and all of it again in the end.
func TestAllOthersFillWhatNobodyHas(t *testing.T) {
	ledger, now := &Ledger{}, Ways{0: 0xfffff, 1: 0xfffff}
	has := map[string]Ways{"a": {0: 0xf}, "b": {0: 0xf0}, "c": {0: 0xf00, 1: 0x3}}
	for _, step := range []struct{ do, want string }{
		{"+a", "0=ffff0;1=fffff"}, {"+b", "0=fff00;1=fffff"}, {"+c", "0=ff000;1=ffffc"},
		{"-a", "0=ff000;1=ffffc"}, // a's are not side by side with theirs
		{"-b", "0=ff;1=ffffc"}, {"-c", "0=fffff;1=fffff"}, {"+b", "0=fff00;1=fffff"}, {"-b", "0=fffff;1=fffff"},
	} {
		name := step.do[1:]
		if step.do[0] == '+' {
			ledger.Add(Grant{Key: Key{"/r", name}, Bound: true, Ways: has[name]})
		} else {
			ledger.Release(Key{"/r", name})
		}
		plan := Plan(ledger, Observation{Ways: now})
		if len(plan) != 1 || plan[0].Want != step.want || plan[0].Baseline != "0=fffff;1=fffff" {
			t.Fatalf("%s: %+v, want %s", step.do, plan, step.want)
		}
		now = parseWays(plan[0].Want)
		ledger.Note(plan[0].Knob, plan[0].Baseline)
		if plan[0].Want == plan[0].Baseline {
			delete(ledger.Baselines, plan[0].Knob.String())
		}
	}
	if plan := Plan(&Ledger{}, Observation{Ways: now}); len(plan) != 0 {
		t.Errorf("nobody has any: %+v", plan)
	}
}
