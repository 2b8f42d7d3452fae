package shield

import (
	"strings"
	"testing"
)

func TestThreadRulesAreReadAndHeldToTheClass(t *testing.T) {
	topo := eightCPUs(t)
	many := strings.Repeat("a*=other, ", maxRules)
	for _, c := range []struct{ rules, want string }{ // the rules as they are understood, or part of the error
		{"ctl-*=fifo:80@0, io-*=rr:40@1, *=other", "ctl-*=fifo:80@0 io-*=rr:40@1 *=other"},
		{" ctl = fifo : 80 @ 0 ", "ctl=fifo:80@0"},
		{"ctl=fifo", "ctl=fifo:50"},
		{"ctl=fifo@1", "ctl=fifo:50@1"},
		{"a=b=rr:1", "a=b=rr:1"},
		{"[cd]tl-?=batch@1", "[cd]tl-?=batch@1"},
		{"", `annotation rtshield.io/threads: "": expected NAME=POLICY[:PRIORITY][@POSITION], such as ctl-*=fifo:80@0`},
		{"ctl", `"ctl": expected NAME=POLICY`},
		{"=fifo", `"=fifo": expected NAME=POLICY`},
		{"ctl=fifo:80@0,", `"": expected NAME=POLICY`},
		{"ctl=fifo:high", `"ctl=fifo:high": expected NAME=POLICY`},
		{"ctl=fifo@-1", `"ctl=fifo@-1": expected NAME=POLICY`},
		{"ctl=fifo@", `"ctl=fifo@": expected NAME=POLICY`},
		{"[=fifo", `"[=fifo": expected NAME=POLICY`},
		{"ct\x1bl=fifo", `"ct\x1bl=fifo": expected NAME=POLICY`},
		{"ctl=best", `"ctl=best": expected policy fifo, rr, other or batch`},
		{"ctl=deadline", `"ctl=deadline": expected policy fifo, rr, other or batch`},
		{"ctl=other:5", `"ctl=other:5": policy other has no priority`},
		{"ctl=fifo:81", "ctl=fifo:81 asks for priority 81; class fifo allows at most 80: ask for less, or raise max_priority"},
		{"ctl=fifo:0", "ctl=fifo:0: expected a priority, 1-99"},
		{"ctl=fifo:100", "ctl=fifo:100: expected a priority, 1-99"},
		{"ctl=fifo@2", "ctl=fifo:50@2 asks for position 2; the real-time part has 2 CPUs: positions 0-1"},
		{"a-very-long-name-it-is=fifo", "no thread is called so, the kernel cuts names to 15 letters: write a-very-long-nam"},
		{"*=other, ctl=fifo", "ctl=fifo:50 stands behind *=other, which takes the same threads: the first that fits counts"},
		{"ctl=rr, ctl=fifo", "ctl=fifo:50 stands behind ctl=rr:50, which takes the same threads"},
		{many + "b=other", "stands behind a*=other"},
	} {
		grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "1-7"), Host{Topology: topo}, &Ledger{}, asks("a", "cpus", "3", "realtime-mask", "^0", "threads", c.rules))
		var got []string
		for _, rule := range grant.Threads {
			got = append(got, rule.String())
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if text := strings.Join(got, " "); err == nil && text != c.want || !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", c.rules, text, c.want)
		}
	}
	for _, c := range []struct {
		request Request
		want    string
	}{
		{asks("a", "class", "batch", "threads", "ctl=fifo:1"), "ctl=fifo:1 asks for policy fifo, above class batch, which gives batch: ask for a class with that policy"},
		{asks("a", "class", "deadline", "threads", "ctl=fifo:1"), "a thread under SCHED_DEADLINE keeps all CPUs of its root domain"},
		{asks("a", "threads", "ctl=fifo@1"), "the real-time part has 1 CPU: positions 0-0"},
	} {
		_, err := Decide(BuiltinClasses(), layoutOf(t, topo, "1-7"), Host{Topology: topo}, &Ledger{}, c.request)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want …%s…", c.request.Choices, err, c.want)
		}
	}
	_, err := Resolve(shared(), asks("a", "cpus", "3", "realtime-mask", "^0", "threads", "ctl=fifo@1, io=fifo@2"))
	if err == nil || !strings.Contains(err.Error(), "io=fifo:50@2 asks for position 2; the real-time part has 2 CPUs") {
		t.Errorf("with a shared ordinary part: %v", err)
	}
}

func TestEveryThreadHasThePlaceOfItsRule(t *testing.T) {
	masked := Grant{Policy: Other, Mask: "^0", CPUs: cpus(t, "2,4,6"), Ordinary: cpus(t, "2"), Threads: []ThreadRule{
		{"ctl-*", FIFO, 80, 0}, {"io-*", RR, 40, 1}, {"rt", FIFO, 10, Anywhere}, {"near", Other, 0, 1},
	}}
	whole := Grant{Policy: FIFO, Priority: 50, CPUs: cpus(t, "2-3"), Threads: []ThreadRule{{"ctl-*", FIFO, 80, 0}, {"log/*", Other, 0, Anywhere}}}
	all := whole
	all.Threads = append(all.Threads, ThreadRule{"*", Batch, 0, Anywhere})
	for _, c := range []struct {
		grant     Grant
		name      string
		now, want string
	}{
		{masked, "ctl-1", "other on 2", "fifo 80 on 4"},
		{masked, "io-3", "fifo 80 on 4", "rr 40 on 6"}, // born of the first and renamed
		{masked, "rt", "other on 2", "fifo 10 on 4,6"},
		{masked, "near", "other on 2", "other on 6"},
		{masked, "worker", "other on 2", "other on 2"},
		{masked, "worker", "fifo 80 on 4", "other on 2"},   // it has what its parent's rule gave
		{masked, "worker", "fifo 79 on 4", "fifo 79 on 4"}, // its program raised it
		{masked, "worker", "other on 6", "other on 6"},
		{whole, "ctl-", "fifo 50 on 2-3", "fifo 80 on 2"},
		{whole, "log/a/b", "fifo 50 on 2-3", "other on 2-3"},
		{whole, "main", "fifo 50 on 2-3", "fifo 50 on 2-3"},
		{whole, "main", "fifo 80 on 2", "fifo 50 on 2-3"},
		{whole, "main", "other on 2-3", "other on 2-3"},
		{all, "main", "fifo 50 on 2-3", "batch on 2-3"},
		{all, "a/b", "fifo 50 on 2-3", "batch on 2-3"},
	} {
		got := c.grant.CheckThread(7, c.name, place(t, c.now))
		if got.Now != c.now || got.Want != c.want || got.Misplaced() != (c.now != c.want) {
			t.Errorf("%s, %s: %+v, want %s", c.name, c.now, got, c.want)
		}
	}
	if thread := masked.CheckThread(7, "a\n\x1b[2J", place(t, "other on 2")); thread.Name != "a??[2J" {
		t.Errorf("for people it is called %q", thread.Name)
	}
	if thread := masked.CheckThread(7, "ctl-1", place(t, "other on 2")); thread.Rule != "ctl-*=fifo:80@0" || thread.TID != 7 {
		t.Errorf("%+v", thread)
	}
}

// place reads "fifo 80 on 2-3".
func place(t *testing.T, text string) (p ThreadPlace) {
	t.Helper()
	words := strings.Fields(text)
	p.Policy, p.CPUs = Policy(words[0]), set(t, words[len(words)-1])
	if len(words) == 4 {
		for _, digit := range words[1] {
			p.Priority = 10*p.Priority + int(digit-'0')
		}
	}
	return p
}

func TestAContainerRunsRealTimeByItsPolicyItsMaskOrItsRules(t *testing.T) {
	for name, c := range map[string]struct {
		grant Grant
		want  bool
	}{
		"fifo": {Grant{Policy: FIFO}, true}, "deadline": {Grant{Policy: Deadline}, false}, "other": {Grant{Policy: Other}, false},
		"divided": {Grant{Policy: Other, Mask: "^0"}, true},
		"a rule":  {Grant{Policy: Other, Threads: []ThreadRule{{Policy: Batch}, {Policy: RR}}}, true},
		"rules":   {Grant{Policy: Other, Threads: []ThreadRule{{Policy: Batch}}}, false},
	} {
		if got := c.grant.MayRunRealTime(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
