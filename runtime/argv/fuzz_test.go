package argv

import (
	"slices"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"", "create web", "--log create state x", "exec web create x", "delete x --force", "kill x --all 9",
		"create x --bundle -- y", "-- help", "--root= -debug=0 update -r - -- web", "exec -p a web -p b", "---x", "-=",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv := append([]string{"runc"}, strings.Split(line, "\x00")...)
		inv := Parse(argv)
		for _, word := range []string{inv.Verb, inv.ID} {
			if word != "" && !slices.Contains(argv, word) {
				t.Errorf("%q: %q is not an argument", argv, word)
			}
		}
		if (inv.Malformed != "" || inv.Verb == "") && inv.ID != "" {
			t.Errorf("%q: an id without a verb: %q", argv, inv.ID)
		}
		if err := compareWithOracle(argv); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
		checkReplace(t, inv)
	})
}

// checkReplace: a replaced value is the only thing that a second reading finds changed.
func checkReplace(t *testing.T, inv Invocation) {
	verb, ok := findVerb(inv.Verb)
	if !ok {
		return
	}
	for _, def := range verb.flags {
		if def.kind != text {
			continue
		}
		again := Parse(inv.Replace(def.long, "new"))
		value, _ := again.Flag(def.long)
		if again.Verb != inv.Verb || again.ID != inv.ID || !slices.Equal(again.Args, inv.Args) || value != "new" ||
			again.Root != inv.Root || again.Log != inv.Log {
			t.Errorf("%q with another %s is %q: %+v", inv.Argv, def.long, again.Argv, again)
		}
		for _, other := range verb.flags {
			was, had := inv.Flag(other.long)
			is, has := again.Flag(other.long)
			if other != def && (was != is || had != has) {
				t.Errorf("%q with another %s changes %s to %q", inv.Argv, def.long, other.long, is)
			}
		}
	}
}
