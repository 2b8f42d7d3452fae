package verify

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

func fifo(priority uint32) sched.Attr { return sched.Attr{Policy: unix.SCHED_FIFO, Priority: priority} }

// container is one of class fifo on CPU 4-5, with all that it was promised.
func container() (shield.Grant, ceiling, seen) {
	grant := shield.Grant{
		Name: "web", Class: "fifo", Policy: shield.FIFO, Priority: 50, CPUs: shield.CPUsOf(cpuset.New(4, 5)), Mems: shield.CPUsOf(cpuset.New(0)),
		Owner: shield.Owner{PID: 10}, Exec: shield.Demote, Throttle: shield.Budget{Runtime: 950000, Period: 1000000},
		Memory: shield.Memory{THP: shield.Never, Swap: "memory.swap.max", Policy: shield.Bind},
	}
	first, good := fifo(50), func(where, is string) promise.Reading {
		return promise.Reading{Where: where, Now: is, Want: is, File: "/" + where}
	}
	nodes, swap, quota := good("cpuset.mems", "0"), good("memory.swap.max", "0"), good("cpu.max", "max")
	thp := promise.Reading{Where: "THP_enabled", Now: "0", Want: "0", Help: "restart it"}
	bound := promise.Reading{Where: "the memory policy", Now: "bind:0", Want: "bind:0"}
	both := cpuset.New(4, 5)
	return grant, ceiling{class: "fifo", priority: 80}, seen{
		places: []promise.Reading{good("the cgroup of pid 10", "/web")},
		cpuset: []promise.Reading{good("cpuset.cpus", "4-5"), {Where: "the effective cpuset", Now: "4-5", Want: "4-5", Help: "look above"}},
		nodes:  &nodes, swap: &swap, quota: &quota, thp: &thp, bound: &bound, first: &first, ownPIDs: true,
		throttle: grant.Throttle, throttleBinds: true,
		threads: []thread{
			{10, 10, 1, "web", both, fifo(50)}, {11, 10, 1, "worker", cpuset.New(5), fifo(80)}, {12, 12, 10, "child", both, fifo(20)},
			{20, 20, 1, "sh", both, sched.Attr{}}, {21, 21, 20, "tool", both, fifo(1)},
		},
	}
}

func rule(name string, priority, position int) shield.ThreadRule {
	return shield.ThreadRule{Name: name, Policy: shield.FIFO, Priority: priority, Position: position}
}

func rules(grant *shield.Grant, rules ...shield.ThreadRule) { grant.Threads = rules }

func TestABandwidthIsNamedAndWhatItHeldUp(t *testing.T) {
	for _, c := range []struct {
		share     shield.Share
		throttled string
		want      string
	}{
		{shield.Share{}, "", "none on its CPUs"},
		{shield.Share{}, "7", "none on its CPUs; one has held it up 7 times"},
		{shield.Share{Quota: 30000, Period: 100000}, "", "30% of a CPU (30ms in each 100ms)"},
		{shield.Share{Quota: 30000, Period: 100000}, "7", "30% of a CPU (30ms in each 100ms); it has held it up 7 times"},
	} {
		grant, ceiling, now := container()
		grant.Share, now.throttled = c.share, c.throttled
		promises := ownPromises(grant, ceiling, now)
		if i := slices.IndexFunc(promises, func(p Promise) bool { return p.Name == "quota" }); i < 0 || promises[i].What != c.want || promises[i].Mark != Holds {
			t.Errorf("%+v, want %q", promises, c.want)
		}
	}
}

func TestEachBrokenPromiseOfAContainerIsNamed(t *testing.T) {
	batch := shield.BuiltinClasses()["batch"]
	for name, c := range map[string]struct {
		spoil func(*shield.Grant, *ceiling, *seen)
		want  []string // the mark and name of what does not hold, and words
	}{
		"nothing":            {func(*shield.Grant, *ceiling, *seen) {}, nil},
		"policy":             {func(_ *shield.Grant, _ *ceiling, s *seen) { s.first = &sched.Attr{} }, []string{"broken policy", "has other and should have fifo 50"}},
		"priority":           {func(_ *shield.Grant, _ *ceiling, s *seen) { low := fifo(10); s.first = &low }, []string{"broken policy", "has fifo 10 and should have fifo 50"}},
		"round robin":        {func(_ *shield.Grant, _ *ceiling, s *seen) { s.first.Policy = unix.SCHED_RR }, []string{"broken policy", "has rr 50"}},
		"reset on fork":      {func(_ *shield.Grant, _ *ceiling, s *seen) { s.first.ResetOnFork = true }, []string{"broken policy", "fifo 50 (reset on fork)"}},
		"policy unread":      {func(_ *shield.Grant, _ *ceiling, s *seen) { s.firstErr = errors.New("no") }, []string{"unknown policy", "pid 10"}},
		"first thread ended": {func(_ *shield.Grant, _ *ceiling, s *seen) { s.first = nil }, nil},
		"above the ceiling":  {func(_ *shield.Grant, _ *ceiling, s *seen) { s.threads[1].attr.Priority = 81 }, []string{"broken threads", "thread 11 (worker) fifo 81", "class fifo allows real-time priority 80"}},
		"a deadline thread": {func(_ *shield.Grant, _ *ceiling, s *seen) {
			s.threads[1].attr = sched.Attr{Policy: unix.SCHED_DEADLINE}
		}, []string{"broken threads", "11 (worker) deadline"}},
		"deadline is allowed": {func(_ *shield.Grant, c *ceiling, s *seen) {
			s.threads[1].attr = sched.Attr{Policy: unix.SCHED_DEADLINE}
			c.deadline = true
		}, nil},
		"real time in batch": {func(g *shield.Grant, c *ceiling, s *seen) {
			g.Class, g.Policy, g.Priority = "batch", shield.Batch, 0
			s.first.Policy, s.first.Priority = unix.SCHED_BATCH, 0
			*c = ceilingOf(*g, map[string]shield.Class{"batch": batch})
		}, []string{"broken threads", "and 1 more", "class batch allows no real-time policy"}},
		"a thread elsewhere": {func(_ *shield.Grant, _ *ceiling, s *seen) { s.threads[1].cpus = cpuset.New(0, 5) }, []string{"broken threads", "thread 11 (worker) may run on CPU 0,5", "its CPUs are 4-5"}},
		"on the CPUs of exec": {func(g *shield.Grant, _ *ceiling, s *seen) {
			g.ExecCPUs = shield.CPUsOf(cpuset.New(0))
			s.threads[3].cpus = cpuset.New(0)
		}, nil},
		"exec in real time":   {func(_ *shield.Grant, _ *ceiling, s *seen) { s.threads[3].attr = fifo(5) }, []string{"broken exec", "thread 20 (sh) fifo 5", "exec = demote"}},
		"exec may":            {func(g *shield.Grant, _ *ceiling, s *seen) { g.Exec = shield.Inherit; s.threads[3].attr = fifo(5) }, nil},
		"exec cannot be told": {func(_ *shield.Grant, _ *ceiling, s *seen) { s.ownPIDs = false; s.threads[3].attr = fifo(5) }, nil},
		"threads unread":      {func(_ *shield.Grant, _ *ceiling, s *seen) { s.threadsErr = errors.New("no") }, []string{"unknown threads"}},
		"cpuset":              {func(_ *shield.Grant, _ *ceiling, s *seen) { s.cpuset[0].Now = "0-7" }, []string{"broken cpuset", `cpuset.cpus is "0-7" and should be "4-5"`, "--repair"}},
		"effective cpuset":    {func(_ *shield.Grant, _ *ceiling, s *seen) { s.cpuset[1].Now = "4" }, []string{"broken cpuset", "the effective cpuset", "look above"}},
		"cpuset unread":       {func(_ *shield.Grant, _ *ceiling, s *seen) { s.cpuset[0].Err = errors.New("denied") }, []string{"unknown cpuset", "denied"}},
		"another cgroup":      {func(_ *shield.Grant, _ *ceiling, s *seen) { s.places[0].Now = "/other" }, []string{"broken cpuset", `the cgroup of pid 10 is "/other"`}},
		"memory nodes":        {func(_ *shield.Grant, _ *ceiling, s *seen) { s.nodes.Now = "0-1" }, []string{"broken memory", "cpuset.mems"}},
		"memory policy":       {func(_ *shield.Grant, _ *ceiling, s *seen) { s.bound.Now = "default" }, []string{"broken memory", "the memory policy"}},
		"transparent pages":   {func(_ *shield.Grant, _ *ceiling, s *seen) { s.thp.Now = "1" }, []string{"broken memory", "THP_enabled", "restart it"}},
		"swap":                {func(_ *shield.Grant, _ *ceiling, s *seen) { s.swap.Now = "max" }, []string{"broken memory", "memory.swap.max", "--repair"}},
		"quota":               {func(_ *shield.Grant, _ *ceiling, s *seen) { s.quota.Now = "50000" }, []string{"broken quota", `cpu.max is "50000"`}},
		"a quota lifted": {func(g *shield.Grant, _ *ceiling, s *seen) {
			g.Share = shield.Share{Quota: 50000, Period: 100000}
			s.quota.Now, s.quota.Want = "no bound", g.Share.String()
		}, []string{"broken quota", `"no bound" and should be "50% of a CPU (50ms in each 100ms)"`, "--repair"}},
		"memory is merged": {func(_ *shield.Grant, _ *ceiling, s *seen) {
			s.ksm = &promise.Reading{Where: "ksm_merge_any", Now: "yes", Want: "no", Help: "restart it"}
		}, []string{"broken memory", "ksm_merge_any", "restart it"}},
		"ways of the L3": {func(g *shield.Grant, _ *ceiling, s *seen) {
			g.Ways, s.ways = shield.Ways{0: 3}, errors.New("group web has 0=f")
		}, []string{"broken cache", "group web has 0=f"}},
		"all its ways": {func(g *shield.Grant, _ *ceiling, _ *seen) { g.Ways = shield.Ways{0: 3} }, nil},
		"a first thread with a rule": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("web", 70, 1))
			s.ruled, s.threads[0].attr, s.threads[0].cpus = true, fifo(70), cpuset.New(5)
		}, nil},
		"one that is not as its rule says": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("web", 70, 1))
			s.ruled, s.threads[0].attr = true, fifo(70)
		}, []string{"broken policy", "has fifo 70 on 4-5 and should have fifo 70 on 5, by web=fifo:70@1", "--repair"}},
		"one with another policy": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("web", 70, shield.Anywhere))
			s.ruled, s.threads[0].attr = true, sched.Attr{Policy: unix.SCHED_BATCH}
		}, []string{"broken policy", "has batch on 4-5 and should have fifo 70 on 4-5"}},
		"before its program runs": {func(g *shield.Grant, _ *ceiling, _ *seen) { rules(g, rule("web", 70, 1)) }, nil},
		"one that is not found": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("web", 70, 1))
			s.ruled, s.threads = true, s.threads[1:]
		}, []string{"unknown policy", "pid 10"}},
		"a rule above the class of now": {func(g *shield.Grant, c *ceiling, s *seen) {
			rules(g, rule("worker", 80, shield.Anywhere))
			*c = ceilingOf(*g, map[string]shield.Class{"fifo": {MaxPriority: 60}})
		}, nil},
		"above the rules and the class": {func(g *shield.Grant, c *ceiling, s *seen) {
			rules(g, rule("worker", 70, shield.Anywhere))
			*c = ceilingOf(*g, map[string]shield.Class{"fifo": {MaxPriority: 60}})
		}, []string{"broken threads", "11 (worker) fifo 80", "allows real-time priority 70"}},
		"an orphan with a rule": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("sh", 5, shield.Anywhere))
			s.threads[3].attr = fifo(5)
		}, nil},
		"exec with the name of a rule": {func(g *shield.Grant, _ *ceiling, s *seen) {
			rules(g, rule("sh", 5, 0))
			s.threads[3].attr = fifo(5)
		}, []string{"broken exec", "20 (sh) fifo 5"}},
		"divided": {func(g *shield.Grant, _ *ceiling, s *seen) {
			g.Mask, g.Ordinary, g.ExecCPUs, g.Policy, g.Priority = "^0", shield.CPUsOf(cpuset.New(0)), shield.CPUsOf(cpuset.New(0)), shield.Other, 0
			s.first = &sched.Attr{}
			s.threads[0].cpus, s.threads[0].attr, s.threads[3].cpus = cpuset.New(0), sched.Attr{}, cpuset.New(0)
		}, nil},
		"throttled":            {func(_ *shield.Grant, _ *ceiling, s *seen) { s.throttled = "7" }, nil},
		"throttling":           {func(_ *shield.Grant, _ *ceiling, s *seen) { s.throttle.Runtime = 500000 }, []string{"broken throttling", "may have 50 %", "could have 95 %", "kernel.sched_rt_runtime_us=950000"}},
		"throttling was all":   {func(g *shield.Grant, _ *ceiling, _ *seen) { g.Throttle.Runtime = -1 }, []string{"broken throttling", "95 %", "100 %"}},
		"less throttling":      {func(_ *shield.Grant, _ *ceiling, s *seen) { s.throttle.Runtime = -1 }, nil},
		"throttling of others": {func(_ *shield.Grant, _ *ceiling, s *seen) { s.throttle.Runtime = 1; s.throttleBinds = false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			grant, ceiling, now := container()
			c.spoil(&grant, &ceiling, &now)
			var wrong []string
			for _, p := range ownPromises(grant, ceiling, now) {
				if p.Mark != Holds {
					wrong = append(wrong, string(p.Mark)+" "+p.Name+": "+p.What+": "+p.Why+" ("+p.Help+")")
				}
			}
			if c.want == nil && len(wrong) > 0 || c.want != nil && len(wrong) != 1 {
				t.Fatalf("%q", wrong)
			}
			for _, words := range c.want {
				if !strings.Contains(wrong[0], words) {
					t.Errorf("no %q in %q", words, wrong[0])
				}
			}
		})
	}
}

func TestAThreadIsLoweredToItsClassesCeilingAndNoFurther(t *testing.T) {
	for _, c := range []struct {
		ceiling   ceiling
		now, want sched.Attr
	}{
		{ceiling{priority: 80}, fifo(99), fifo(80)},
		{ceiling{priority: 80}, sched.Attr{Policy: unix.SCHED_RR, Priority: 90, ResetOnFork: true}, sched.Attr{Policy: unix.SCHED_RR, Priority: 80, ResetOnFork: true}},
		{ceiling{}, fifo(1), sched.Attr{}},
		{ceiling{priority: 80}, sched.Attr{Policy: unix.SCHED_DEADLINE, Runtime: 1, Deadline: 2, Period: 2}, sched.Attr{}},
	} {
		if got := c.ceiling.lower(c.now); got != c.want {
			t.Errorf("%+v below %+v becomes %+v, want %+v", c.now, c.ceiling, got, c.want)
		}
	}
}

func TestAClassThatIsGoneLeavesWhatWasGranted(t *testing.T) {
	grant := shield.Grant{Class: "mine", Policy: shield.FIFO, Priority: 60}
	if got := ceilingOf(grant, nil); got.priority != 60 || got.deadline {
		t.Errorf("%+v", got)
	}
	if got := ceilingOf(grant, map[string]shield.Class{"mine": {MaxPriority: 90}}); got.priority != 90 {
		t.Errorf("%+v", got)
	}
}

func TestWhatOthersChangedIsBrokenAndWhatTheHostCannotIsALimit(t *testing.T) {
	grant := shield.Grant{
		CPUs: shield.CPUsOf(cpuset.New(4)), Level: shield.LevelPartition, Partition: shield.Isolated, IRQ: "away",
		Budget: shield.Budget{Runtime: 900, Period: 1000}, Power: shield.Power{Governor: "performance"},
	}
	drift := func(kind shield.Kind) shield.Limit {
		return shield.Limit{Kind: kind, Drift: true, What: string(kind), Why: "w", Help: "h"}
	}
	for name, c := range map[string]struct {
		limits []shield.Limit
		want   []string
	}{
		"all is well": {nil, []string{"holds partition", "holds other tasks", "holds interrupts", "holds kernel work", "holds budget", "holds power"}},
		"all is broken": {
			[]shield.Limit{drift(shield.Partition), drift(shield.Thread), drift(shield.IRQDefault), drift(shield.Mask), drift(shield.RTBudget), drift(shield.Governor)},
			[]string{"broken partition", "broken other tasks", "broken interrupts", "broken kernel work", "broken budget", "broken power"},
		},
		"limits": {
			[]shield.Limit{{Kind: shield.IRQ}, {Kind: shield.Governor}, {What: "RLIMIT_RTPRIO is not raised"}, {Kind: shield.Irqbalance}},
			[]string{"holds partition", "holds other tasks", "holds interrupts", "cannot interrupts", "cannot interrupts", "holds kernel work", "holds budget", "cannot power", "cannot wishes"},
		},
		"both": {
			[]shield.Limit{{Kind: shield.IRQ}, drift(shield.IRQ)},
			[]string{"holds partition", "holds other tasks", "cannot interrupts", "broken interrupts", "holds kernel work", "holds budget", "holds power"},
		},
	} {
		var got []string
		for _, p := range outerPromises(grant, c.limits) {
			got = append(got, string(p.Mark)+" "+p.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	grant = shield.Grant{CPUs: grant.CPUs, Level: shield.LevelCpuset, IRQ: "keep"}
	for _, p := range outerPromises(grant, nil) {
		if slices.Contains([]string{"partition", "interrupts", "budget", "power", "exec", "parts", "rules", "huge pages", "cache"}, p.Name) {
			t.Errorf("never promised: %+v", p)
		}
	}
}

func TestThreadRulesHugePagesAndTheCacheArePromises(t *testing.T) {
	grant := shield.Grant{
		CPUs: shield.CPUsOf(cpuset.New(4, 5)), Level: shield.LevelCpuset, IRQ: "keep", Mask: "^0", Ordinary: shield.CPUsOf(cpuset.New(4)), ExecCPUs: shield.CPUsOf(cpuset.New(4)),
		Threads:   []shield.ThreadRule{rule("ctl-*", 80, 0), rule("io-*", 40, shield.Anywhere)},
		HugePages: []shield.PageShare{{Size: 2 << 20, Node: 0, Count: 64, Reserved: 8}}, Ways: shield.Ways{0: 0xf},
	}
	all := map[string]string{
		"parts": "exec and ordinary threads run on CPU 4, real-time ones on CPU 5", "rules": "threads are as ctl-*=fifo:80@0, io-*=fifo:40 says, and are watched",
		"huge pages": "2Mi=64 on node 0 (8 reserved for it)", "cache": "no other task fills the ways 0=f of the L3",
	}
	for kind, name := range map[shield.Kind]string{
		"": "", shield.OwnThread: "parts", shield.ByRule: "rules", shield.HugePagePool: "huge pages", shield.L3Ways: "cache",
	} {
		var limits []shield.Limit
		if kind != "" {
			limits = append(limits, shield.Limit{Kind: kind, Drift: true, What: "it is gone", Why: "w", Help: status.Reconcile})
		}
		for _, p := range outerPromises(grant, limits) {
			switch want, named := all[p.Name]; {
			case named && p.Name == name && (p.Mark != Broken || p.What != "it is gone" || p.Help != repair):
				t.Errorf("%s changed: %+v", kind, p)
			case named && p.Name != name && (p.Mark != Holds || p.What != want):
				t.Errorf("%s changed: %+v, want %q", kind, p, want)
			case p.Name == "wishes":
				t.Errorf("%s is of no promise: %+v", kind, p)
			}
		}
	}
}

func TestWhatReconcileDoesNotMendKeepsItsOwnAdvice(t *testing.T) {
	for help, want := range map[string]string{status.Reconcile: repair, "reserve more in /sys": "reserve more in /sys", "": ""} {
		if p := ofLimit("huge pages", shield.Limit{Drift: true, Help: help}); p.Mark != Broken || p.Help != want {
			t.Errorf("%q: %+v", help, p)
		}
	}
}
