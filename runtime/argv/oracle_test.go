package argv

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/urfave/cli"
)

// reading is how urfave/cli v1 itself, the library that runc uses, reads a line.
type reading struct {
	verb    string
	args    []string
	globals map[string]string
	flags   map[string]string // by long name, only what was set
	err     error             // refused before the verb ran
	help    bool              // nothing ran and nothing was refused
}

// oracle builds runc's command line out of our own table, so it checks the walk, while
// TestFlagsCoverDelegate checks the table.
func oracle(argv []string) (r reading) {
	ran := false
	record := func(c *cli.Context) error {
		ran, r.verb, r.args = true, c.Command.Name, c.Args()
		return nil
	}
	app := cli.NewApp()
	app.Name, app.Version, app.Writer, app.ErrWriter = "runc", "1", io.Discard, io.Discard
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.Action = func(c *cli.Context) error { // no verb, or an unknown one
		ran, r.verb = true, c.Args().First()
		return nil
	}
	app.Before = func(c *cli.Context) error {
		if c.Bool("usage") || c.Bool("V") {
			return io.EOF // crun's --help and --version
		}
		r.globals = settings(c, globalFlags)
		return nil
	}
	for _, f := range globalFlags {
		if f.long != "help" && f.long != "version" {
			app.Flags = append(app.Flags, cliFlag(f))
		}
	}
	for _, v := range verbs {
		if v.name == "help" || v.name == "h" {
			continue
		}
		cmd := cli.Command{Name: v.name, SkipArgReorder: v.inOrder}
		for _, f := range v.flags {
			cmd.Flags = append(cmd.Flags, cliFlag(f))
		}
		cmd.Action = func(c *cli.Context) error {
			if c.NArg() < v.min || c.NArg() > v.max {
				return errors.New("as runc's checkArgs")
			}
			r.flags = settings(c, v.flags)
			return record(c)
		}
		app.Commands = append(app.Commands, cmd)
	}
	r.err = app.Run(argv)
	r.help = !ran && (r.err == nil || errors.Is(r.err, io.EOF))
	return r
}

func cliFlag(f flagDef) cli.Flag {
	name := f.long
	if f.short != "" {
		name += ", " + f.short
	}
	switch f.kind {
	case boolean:
		return cli.BoolFlag{Name: name}
	case number:
		return cli.IntFlag{Name: name}
	case duration:
		return cli.DurationFlag{Name: name}
	}
	return cli.StringFlag{Name: name}
}

func settings(c *cli.Context, defs []flagDef) map[string]string {
	set := map[string]string{}
	for _, f := range defs {
		if !c.IsSet(f.long) {
			continue
		}
		switch f.kind {
		case boolean:
			set[f.long] = strconv.FormatBool(c.Bool(f.long))
		case text:
			set[f.long] = c.String(f.long)
		default:
			set[f.long] = "set"
		}
	}
	return set
}

func compareWithOracle(argv []string) error {
	want, got := oracle(argv), Parse(argv)
	switch {
	case want.help:
		if !got.Help && !got.Version {
			return fmt.Errorf("help or version for the library, %+v here", got)
		}
		return nil
	case want.err != nil:
		// `help nosuch` is refused by its own action.
		if got.Malformed == "" && got.Verb != "help" && got.Verb != "h" {
			return fmt.Errorf("the library refuses (%w), got %+v", want.err, got)
		}
		return nil
	case got.Malformed != "" || got.Help || got.Version:
		return fmt.Errorf("the library runs %q, got %+v", want.verb, got)
	case got.Verb != want.verb:
		return fmt.Errorf("verb %q, want %q", got.Verb, want.verb)
	case !slices.Equal(got.Args, want.args):
		return fmt.Errorf("operands %q, want %q", got.Args, want.args)
	}
	if got.Root != want.globals["root"] || got.Log != want.globals["log"] || got.LogFormat != want.globals["log-format"] ||
		strconv.FormatBool(got.Debug) != orFalse(want.globals["debug"]) ||
		strconv.FormatBool(got.SystemdCgroup) != orFalse(want.globals["systemd-cgroup"]) {
		return fmt.Errorf("globals %+v, want %v", got, want.globals)
	}
	verb, _ := findVerb(want.verb)
	for _, f := range verb.flags {
		value, ok := got.Flag(f.long)
		wanted, set := want.flags[f.long]
		if ok != set || (f.kind <= text && value != wanted) {
			return fmt.Errorf("flag %s: %q %v, want %q %v", f.long, value, ok, wanted, set)
		}
	}
	return nil
}

func orFalse(s string) string {
	if s == "" {
		return "false"
	}
	return s
}

// TestParseLikeLibrary throws lines together out of words that mean something.
func TestParseLikeLibrary(t *testing.T) {
	words := []string{"web", "x", "-", "--", "", "9", "1s", "true", "=", "---x", "-=", "--=", "--bogus", "-bogus=1", "help", "h"}
	flags := slices.Clone(globalFlags)
	for _, v := range verbs {
		words = append(words, v.name)
		flags = append(flags, v.flags...)
	}
	for _, f := range append(flags, helpFlag) {
		for _, name := range []string{f.long, f.short} {
			if name != "" {
				words = append(words, "-"+name, "--"+name, "--"+name+"=1", "-"+name+"=v", "---"+name)
			}
		}
	}
	pick := rand.New(rand.NewPCG(1, 2))
	word := func() string { return words[pick.IntN(len(words))] }
	counts := map[string]int{}
	for range 12000 {
		argv := []string{"runc"}
		for range pick.IntN(8) / 5 {
			argv = append(argv, word())
		}
		// Three in four get a verb with flags of its own, or nearly all would be refused.
		if pick.IntN(4) > 0 {
			argv = append(argv, likely(pick, verbs[pick.IntN(len(verbs))], words)...)
		}
		if err := compareWithOracle(argv); err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		counts[Parse(argv).Verb]++
	}
	for _, v := range verbs {
		if counts[v.name] < 20 {
			t.Errorf("only %d lines reached %s: the test has become blind", counts[v.name], v.name)
		}
	}
}

// likely is a verb with flags of its own and an operand or two in any order, and now and then nonsense.
func likely(pick *rand.Rand, v verbDef, words []string) []string {
	line := []string{v.name}
	operand := pick.IntN(3)
	for i := range 3 {
		switch {
		case i == operand:
			line = append(line, words[pick.IntN(6)])
		case pick.IntN(8) == 0:
			line = append(line, words[pick.IntN(len(words))])
		case len(v.flags) > 0 && pick.IntN(2) == 0:
			f := v.flags[pick.IntN(len(v.flags))]
			line = append(line, "--"+f.long)
			if f.kind != boolean {
				line = append(line, words[pick.IntN(8)])
			}
		}
	}
	return line
}
