package shield

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/utils/cpuset"
)

// ThreadRule says how threads of a name run.
type ThreadRule struct {
	// Name is a glob that a thread's comm is matched with.
	Name     string `json:"name"`
	Policy   Policy `json:"policy"`
	Priority int    `json:"priority,omitempty"`
	// Position within the real-time part; Anywhere: no CPU of its own.
	Position int `json:"position"`
}

// Anywhere is the position of a rule that names none.
const Anywhere = -1

// maxComm is how long the kernel keeps a thread's name (TASK_COMM_LEN less the zero), maxRules bounds the list.
const (
	maxComm  = 15
	maxRules = 64
)

// String gives the form that a rule is written in.
func (r ThreadRule) String() string {
	text := r.Name + "=" + string(r.Policy)
	if r.Policy.HasPriority() {
		text += fmt.Sprintf(":%d", r.Priority)
	}
	if r.Position != Anywhere {
		text += fmt.Sprintf("@%d", r.Position)
	}
	return text
}

// chooseThreads reads "ctl-*=fifo:80@0, io-*=rr:40@1, *=other" and holds each rule to the class.
func chooseThreads(terms *Terms, request Request) error {
	choice, ok := request.Choices[KeyThreads]
	if !ok {
		return nil
	}
	if terms.Policy == Deadline {
		return fmt.Errorf("annotation %s: a thread under SCHED_DEADLINE keeps all CPUs of its root domain, and class %s gives the container that: use class fifo or rr",
			choice.Source, terms.Class.Name)
	}
	for text := range strings.SplitSeq(choice.Value, ",") {
		rule, err := parseRule(strings.TrimSpace(text), terms.Priority)
		if err == nil {
			err = terms.allows(rule)
		}
		if err != nil {
			return fmt.Errorf("annotation %s: %w", choice.Source, err)
		}
		if terms.Threads = append(terms.Threads, rule); len(terms.Threads) > maxRules {
			return fmt.Errorf("annotation %s has more than %d rules: let one rule match several names (ctl-*)", choice.Source, maxRules)
		}
	}
	return nil
}

// parseRule reads NAME=POLICY[:PRIORITY][@POSITION]. priority is what a real-time rule gets that says none.
func parseRule(text string, priority int) (ThreadRule, error) {
	rule := ThreadRule{Position: Anywhere}
	wrong := fmt.Errorf("%q: expected NAME=POLICY[:PRIORITY][@POSITION], such as ctl-*=fifo:80@0", text)
	equals := strings.LastIndex(text, "=") // a thread may be called a=b
	if equals < 1 {
		return rule, wrong
	}
	how, position, placed := strings.Cut(text[equals+1:], "@")
	word, number, numbered := strings.Cut(how, ":")
	rule.Name, rule.Policy = strings.TrimSpace(text[:equals]), Policy(strings.TrimSpace(word))
	var err error
	if placed {
		if rule.Position, err = strconv.Atoi(strings.TrimSpace(position)); err != nil || rule.Position < 0 {
			return rule, wrong
		}
	}
	if numbered {
		if rule.Priority, err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
			return rule, wrong
		}
	}
	if _, err := path.Match(rule.Name, ""); err != nil || rule.Name == "" || printable(rule.Name) != rule.Name {
		return rule, wrong
	}
	switch {
	case !strings.ContainsAny(rule.Name, `*?[\`) && len(rule.Name) > maxComm:
		return rule, fmt.Errorf("%q: no thread is called so, the kernel cuts names to %d letters: write %s", text, maxComm, rule.Name[:maxComm])
	case rule.Policy != FIFO && rule.Policy != RR && rule.Policy != Other && rule.Policy != Batch:
		return rule, fmt.Errorf("%q: expected policy fifo, rr, other or batch", text)
	case !rule.Policy.HasPriority() && numbered:
		return rule, fmt.Errorf("%q: policy %s has no priority", text, rule.Policy)
	case rule.Policy.HasPriority() && !numbered:
		rule.Priority = priority
	}
	return rule, nil
}

// allows holds a rule to the class, to the real-time part, and to the rules before it.
func (t Terms) allows(rule ThreadRule) error {
	size := t.Count
	if t.Mask.Text != "" && !t.Mask.Shared {
		size -= t.Mask.Positions.Size()
	}
	switch {
	case rule.Policy.rank() > t.Class.Policy.rank():
		return fmt.Errorf("%s asks for policy %s, above class %s, which gives %s: ask for a class with that policy", rule, rule.Policy, t.Class.Name, t.Class.Policy)
	case rule.Policy.HasPriority() && (rule.Priority < 1 || rule.Priority > 99):
		return fmt.Errorf("%s: expected a priority, 1-99", rule)
	case rule.Priority > t.Class.MaxPriority:
		return fmt.Errorf("%s asks for priority %d; class %s allows at most %d: ask for less, or raise max_priority", rule, rule.Priority, t.Class.Name, t.Class.MaxPriority)
	case rule.Position >= size:
		return fmt.Errorf("%s asks for position %d; the real-time part has %s: positions 0-%d", rule, rule.Position, countCPUs(size), size-1)
	}
	for _, before := range t.Threads {
		if before.Name == "*" || before.Name == rule.Name {
			return fmt.Errorf("%s stands behind %s, which takes the same threads: the first that fits counts", rule, before)
		}
	}
	return nil
}

// fits says whether a thread's name is one of the rule's. A * stands for slashes too.
func (r ThreadRule) fits(name string) bool {
	whole := strings.NewReplacer("/", "\x01")
	fits, err := path.Match(whole.Replace(r.Name), whole.Replace(name))
	return err == nil && fits
}

// ThreadPlace is a thread's policy and the CPUs that it may run on.
type ThreadPlace struct {
	Policy   Policy
	Priority int
	CPUs     cpuset.CPUSet
}

// Equal compares two places.
func (p ThreadPlace) Equal(other ThreadPlace) bool {
	return p.Policy == other.Policy && p.Priority == other.Priority && p.CPUs.Equals(other.CPUs)
}

// String gives "fifo 80 on 2".
func (p ThreadPlace) String() string {
	text := string(p.Policy)
	if p.Policy.HasPriority() {
		text += fmt.Sprintf(" %d", p.Priority)
	}
	return text + " on " + p.CPUs.String()
}

// Rule gives the first rule for a thread of this name, nil without.
func (g Grant) Rule(name string) *ThreadRule {
	for i := range g.Threads {
		if g.Threads[i].fits(name) {
			return &g.Threads[i]
		}
	}
	return nil
}

// Ruled is the place that a rule gives. Real-time threads and those with a position are in the real-time part, others at home.
func (g Grant) Ruled(rule ThreadRule) ThreadPlace {
	place := ThreadPlace{rule.Policy, rule.Priority, g.Home().CPUSet}
	switch part := g.RealTimePart(); {
	case rule.Position != Anywhere && rule.Position < part.Size():
		place.CPUs = at(part, cpuset.New(rule.Position))
	case rule.Policy.HasPriority():
		place.CPUs = part
	}
	return place
}

// Place gives the place that a thread should have. One without a rule is its program's own affair; but a real-time one that is
// just where a rule would have it got that from the thread that made it, or by the name that it had, and goes back to what
// the container's first process has.
func (g Grant) Place(name string, now ThreadPlace) (want ThreadPlace, ours bool) {
	if rule := g.Rule(name); rule != nil {
		return g.Ruled(*rule), true
	}
	for _, rule := range g.Threads {
		if rule.Policy.HasPriority() && g.Ruled(rule).Equal(now) {
			return ThreadPlace{g.Policy, g.Priority, g.Home().CPUSet}, true
		}
	}
	return now, false
}

// MayRunRealTime says whether threads of it are to run as fifo or rr: its first one, those of its real-time part, or those of a rule.
func (g Grant) MayRunRealTime() bool {
	return g.Policy.HasPriority() || g.Mask != "" || slices.ContainsFunc(g.Threads, func(r ThreadRule) bool { return r.Policy.HasPriority() })
}

// RuledThread is one thread of a container with rules, as status and verify know it.
type RuledThread struct {
	TID  int    `json:"tid"`
	Name string `json:"name"`
	// Rule is the one for its name, "" without.
	Rule string `json:"rule,omitempty"`
	// Now is the place that it has, Want the one that it should have.
	Now  string `json:"now"`
	Want string `json:"want"`
}

// Misplaced says whether it is not as its rule says.
func (t RuledThread) Misplaced() bool { return t.Now != t.Want }

// printable is a name for people: a program may call its threads what it likes.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

// CheckThread compares a thread with the rules.
func (g Grant) CheckThread(tid int, name string, now ThreadPlace) RuledThread {
	want, _ := g.Place(name, now)
	thread := RuledThread{TID: tid, Name: printable(name), Now: now.String(), Want: want.String()}
	if rule := g.Rule(name); rule != nil {
		thread.Rule = rule.String()
	}
	return thread
}
