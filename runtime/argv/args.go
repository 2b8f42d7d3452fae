// Package argv reads a command line as runc does.
package argv

import (
	"fmt"
	"strconv"
)

// Invocation is a command line as the delegate will understand it.
//
// Where the delegate would refuse the line, or only print something, Verb is "" (see Malformed, Help,
// Version): whoever switches on Verb then passes the line on, and the user reads the delegate's own words.
type Invocation struct {
	Argv []string // all of it, the program's name included

	// Global flags, as given: "" where absent, relative paths left relative.
	Root, Log, LogFormat string
	Debug, SystemdCgroup bool

	// Help asks for a help text, of the program (Verb "") or of the verb. Version is a global flag only.
	Help, Version bool

	// Malformed says why the delegate should refuse the line; "" if it should not. Verb is "" then, and the
	// global flags hold what came before the fault. It can also be a flag newer than our table.
	Malformed string
	// MalformedVerb is the verb of a malformed line, where the fault came after it.
	MalformedVerb string

	Verb string   // "create"; an unknown one is kept, "" if there is none
	Args []string // the operands behind the verb, in the delegate's order
	ID   string   // the first of them, for a verb that works on a container. Not validated

	// Flags of the verb. For others, Flag.
	Bundle        string // "": the working directory
	ConsoleSocket string
	PidFile       string
	Process       string // exec: path of process.json
	Resources     string // update: path, "-" for stdin
	Force         bool
	Detach        bool
	All           bool

	given  []given // the verb's flags in the delegate's order
	verbAt int     // position of Verb in Argv
}

// Parse reads argv as runc does, that is as urfave/cli v1 on top of Go's flag package. It never fails.
func Parse(argv []string) Invocation {
	inv := Invocation{Argv: argv}
	if len(argv) == 0 {
		return inv
	}
	globals, rest, err := walk(argv, positions(1, len(argv)), globalFlags)
	for _, g := range globals {
		inv.setGlobal(g)
	}
	if err != nil {
		inv.Malformed = err.Error()
		return inv
	}
	// runc looks at these before the verb, and does not come to the verb then.
	if inv.Help || inv.Version || len(rest) == 0 {
		return inv
	}
	verb, known := findVerb(argv[rest[0]])
	if known {
		inv.parseVerb(verb, rest)
		return inv
	}
	inv.Verb, inv.verbAt = argv[rest[0]], rest[0]
	return inv
}

// parseVerb reads rest, the positions in Argv of the verb and all that follows it.
func (inv *Invocation) parseVerb(verb verbDef, rest []int) {
	defs := make([]flagDef, 0, len(verb.flags)+1)
	defs = append(append(defs, verb.flags...), helpFlag)
	at, rest := rest[0], rest[1:]
	if !verb.inOrder {
		rest = reorder(inv.Argv, rest, defs)
	}
	flags, operands, err := walk(inv.Argv, rest, defs)
	if err != nil {
		inv.Malformed, inv.MalformedVerb = verb.name+": "+err.Error(), verb.name
		return
	}
	for _, g := range flags {
		inv.setFlag(g)
	}
	inv.Help = inv.Help || verb.name == "help" || verb.name == "h"
	if n := len(operands); !inv.Help && (n < verb.min || n > verb.max) {
		inv.Malformed = fmt.Sprintf("%s: %d operands", verb.name, n)
		return
	}
	inv.Verb, inv.verbAt, inv.given = verb.name, at, flags
	for _, i := range operands {
		inv.Args = append(inv.Args, inv.Argv[i])
	}
	if verb.min > 0 && len(inv.Args) > 0 {
		inv.ID = inv.Args[0]
	}
}

// Flag is the last value given to a flag of the verb, by either of its names; "true" or "false" for a flag
// without a value. ok is false when it was not given.
func (inv Invocation) Flag(name string) (value string, ok bool) {
	for _, g := range inv.given {
		if g.def.long == name || (name != "" && g.def.short == name) {
			value, ok = g.value, true
		}
	}
	return value, ok
}

// Values are all that were given to a flag of the verb, by either of its names.
func (inv Invocation) Values(name string) []string {
	var values []string
	for _, g := range inv.given {
		if g.def.long == name || (name != "" && g.def.short == name) {
			values = append(values, g.value)
		}
	}
	return values
}

func (inv *Invocation) setGlobal(g given) {
	switch g.def.long {
	case "root":
		inv.Root = g.value
	case "log":
		inv.Log = g.value
	case "log-format":
		inv.LogFormat = g.value
	case "debug":
		inv.Debug = g.isTrue()
	case "systemd-cgroup":
		inv.SystemdCgroup = g.isTrue()
	case "help":
		inv.Help = g.isTrue()
	case "usage":
		inv.Help = true
	case "version":
		inv.Version = g.isTrue()
	case "V":
		inv.Version = true
	}
}

func (inv *Invocation) setFlag(g given) {
	switch g.def.long {
	case "bundle":
		inv.Bundle = g.value
	case "console-socket":
		inv.ConsoleSocket = g.value
	case "pid-file":
		inv.PidFile = g.value
	case "process":
		inv.Process = g.value
	case "resources":
		inv.Resources = g.value
	case "force":
		inv.Force = g.isTrue()
	case "detach":
		inv.Detach = g.isTrue()
	case "all":
		inv.All = g.isTrue()
	case "help":
		inv.Help = g.isTrue()
	}
}

// given is one flag on the command line.
type given struct {
	def     flagDef
	name    string // as typed: one of the flag's two
	value   string // of a boolean, "true" or "false"
	at      int    // position in argv
	valueAt int    // position of the value if it is an argument of its own, else -1
}

func (g given) isTrue() bool { return g.value == "true" }

// check refuses what the flag package refuses to set.
func (g *given) check() error {
	switch g.def.kind {
	case boolean:
		b, err := strconv.ParseBool(g.value)
		if err != nil {
			return fmt.Errorf("invalid boolean value %q for -%s", g.value, g.name)
		}
		g.value = strconv.FormatBool(b)
	case number:
		if _, err := strconv.ParseInt(g.value, 0, strconv.IntSize); err != nil {
			return fmt.Errorf("invalid number %q for -%s", g.value, g.name)
		}
	case duration:
		if !isDuration(g.value) {
			return fmt.Errorf("invalid duration %q for -%s", g.value, g.name)
		}
	}
	return nil
}
