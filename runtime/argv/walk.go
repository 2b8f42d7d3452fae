package argv

import (
	"fmt"
	"strings"
	"time"
)

// walk reads flags at the given positions of argv the way Go's flag package does, up to the first argument
// that is none, and returns the positions of the rest. On an error, flags holds what came before it.
func walk(argv []string, at []int, defs []flagDef) (flags []given, rest []int, err error) {
	for len(at) > 0 {
		arg := argv[at[0]]
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		if arg == "--" {
			at = at[1:]
			break
		}
		g, used, err := readFlag(argv, at, defs)
		if err != nil {
			return flags, nil, err
		}
		flags = append(flags, g)
		at = at[used:]
	}
	return flags, at, twoForms(flags)
}

// readFlag reads one flag at the head of at, and says how many arguments it used, one or two.
func readFlag(argv []string, at []int, defs []flagDef) (g given, used int, err error) {
	name := strings.TrimPrefix(argv[at[0]][1:], "-")
	if name == "" || name[0] == '-' || name[0] == '=' {
		return g, 0, fmt.Errorf("bad flag syntax: %s", argv[at[0]])
	}
	name, value, attached := strings.Cut(name, "=")
	d := findFlag(defs, name)
	if d < 0 {
		return g, 0, fmt.Errorf("unknown flag -%s", name)
	}
	g = given{def: defs[d], name: name, value: value, at: at[0], valueAt: -1}
	used = 1
	switch {
	case attached:
	case g.def.kind == boolean:
		g.value = "true"
	case len(at) < 2:
		return g, 0, fmt.Errorf("flag -%s needs a value", name)
	default:
		// Whatever comes next is the value, be it "--" or "create".
		g.valueAt, g.value, used = at[1], argv[at[1]], 2
	}
	return g, used, g.check()
}

// twoForms: urfave/cli v1 refuses -f and --force on one line, though not -f -f (normalizeFlags).
func twoForms(flags []given) error {
	for i, a := range flags {
		for _, b := range flags[:i] {
			if a.def == b.def && a.name != b.name {
				return fmt.Errorf("two forms of the same flag: %s %s", b.name, a.name)
			}
		}
	}
	return nil
}

// reorder does to arguments behind a verb what urfave/cli v1 does before it parses them: known flags go to the
// front, so that `delete ID --force` works. It does not know which flags take a value and drags the next
// argument along with any: `kill ID --all 9` becomes `kill --all 9 ID`, whose container is 9. We must follow.
func reorder(argv []string, at []int, defs []flagDef) []int {
	flags, rest := make([]int, 0, len(at)), make([]int, 0, len(at))
	valueMayFollow := false
	for i, pos := range at {
		arg := argv[pos]
		known := looksLikeFlag(defs, arg)
		switch {
		case valueMayFollow && !known:
			valueMayFollow = false
			flags = append(flags, pos)
		case arg == "--":
			// The "--" goes in front of the operands met so far.
			flags = append(flags, pos)
			flags = append(flags, rest...)
			return append(flags, at[i+1:]...)
		case known:
			flags = append(flags, pos)
			valueMayFollow = !strings.Contains(arg, "=")
		default:
			rest = append(rest, pos)
		}
	}
	return append(flags, rest...)
}

// looksLikeFlag is urfave/cli's argIsFlag: it takes three dashes for a flag, which the parser refuses later.
func looksLikeFlag(defs []flagDef, arg string) bool {
	if arg == "-" || arg == "--" || !strings.HasPrefix(arg, "-") {
		return false
	}
	if strings.HasPrefix(arg, "--") {
		arg = arg[2:]
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
	return findFlag(defs, name) >= 0
}

func positions(from, to int) []int {
	all := make([]int, to-from)
	for i := range all {
		all[i] = from + i
	}
	return all
}

func isDuration(s string) bool {
	_, err := time.ParseDuration(s)
	return err == nil
}
