package argv

import "slices"

// Replace gives a copy of Argv in which the verb's flag has another value: in place where it was given, else
// right behind the verb. name is the flag's long name.
//
// The walk's positions decide what is replaced, never a search for the text: in `exec web -p 80` the -p belongs
// to the command in the container.
func (inv Invocation) Replace(name, value string) []string {
	if inv.Verb == "" {
		return slices.Clone(inv.Argv)
	}
	// One argument, because a value that stands alone may be moved or read as a flag (see reorder).
	set := "--" + name + "=" + value
	out := make([]string, 0, len(inv.Argv)+1)
	_, found := inv.Flag(name)
	for i, arg := range inv.Argv {
		here := slices.IndexFunc(inv.given, func(g given) bool {
			return g.def.long == name && (g.at == i || g.valueAt == i)
		})
		switch {
		case here < 0:
			out = append(out, arg)
		case inv.given[here].at == i:
			out = append(out, set)
		}
		if i == inv.verbAt && !found {
			out = append(out, set)
		}
	}
	return out
}

// Beside gives a command line with the same global flags and another verb.
func (inv Invocation) Beside(verb string, operands ...string) []string {
	return append(append(slices.Clone(inv.Argv[:inv.verbAt]), verb), operands...)
}
