package shield

import (
	"strings"
	"testing"
)

// FuzzThreadRules: a rule that is taken says what it is read as, and is within the class.
func FuzzThreadRules(f *testing.F) {
	for _, text := range []string{"ctl-*=fifo:80@0, io-*=rr:40@1, *=other", "a=b=rr:1", "[=fifo", "=", "x=fifo:999999999999999999999", "x=fifo@+1", "é=other", "a\n=other", "x=batch @ 0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request := asks("a", "cpus", "3", "realtime-mask", "^0", "threads", text)
		terms, err := Resolve(BuiltinClasses(), request)
		if err != nil {
			return
		}
		for i, rule := range terms.Threads {
			if rule.Priority > 80 || rule.Policy.HasPriority() != (rule.Priority > 0) || rule.Position < Anywhere || rule.Position > 1 {
				t.Errorf("%q: rule %d is %+v", text, i, rule)
			}
			again, err := parseRule(rule.String(), 1)
			if err != nil || again != rule {
				t.Errorf("%q: rule %q is read as %+v, %v", text, rule, again, err)
			}
		}
		if len(terms.Threads) != strings.Count(text, ",")+1 {
			t.Errorf("%q: %d rules", text, len(terms.Threads))
		}
	})
}

// FuzzMask: a mask that is taken leaves both parts a CPU.
func FuzzMask(f *testing.F) {
	for _, text := range []string{"^0", "^0-1,^3", "2-3", "^", "^^0", "0-4294967295", ",", "^0,0", "1,^1"} {
		f.Add(text, 4)
	}
	f.Fuzz(func(t *testing.T, text string, count int) {
		count = count & 63
		ordinary, err := parseMask(text, count)
		if err == nil && (ordinary.IsEmpty() || ordinary.Size() >= count || !ordinary.IsSubsetOf(positions(count))) {
			t.Errorf("%q of %d: %s", text, count, ordinary)
		}
	})
}
