package argv

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/runtime/delegate"
)

// testRunc is the runc that tests compare with. Nothing is skipped where it is missing: a table that was never
// compared is worth nothing.
func testRunc(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("RTSHIELD_TEST_RUNC"); path != "" {
		return path
	}
	path, err := delegate.Find([]string{"runc"})
	if err != nil {
		t.Fatalf("no runc to compare with (%v): run `make setup`", err)
	}
	return path
}

func TestFlagsCoverDelegate(t *testing.T) {
	delegates := []string{testRunc(t)}
	if other := "/usr/sbin/runc"; other != delegates[0] && isThere(other) { // Debian's, 1.1.5
		delegates = append(delegates, other)
	}
	for _, path := range delegates {
		t.Run(strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
			compareHelp(t, path, parseRuncHelp)
		})
	}
}

func TestFlagsCoverCrun(t *testing.T) {
	path, err := delegate.Find([]string{"crun"})
	if err != nil {
		t.Skip("crun is not installed")
	}
	compareHelp(t, path, parseCrunHelp)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// help is what a help text lists.
type help struct {
	verbs []string
	flags []flagDef // kind is boolean or text
}

func compareHelp(t *testing.T, path string, parse func(string) help) {
	root := parse(helpText(t, path))
	if len(root.verbs) < 10 || len(root.flags) < 5 {
		t.Fatalf("%s --help was not understood: %+v", path, root)
	}
	compareFlags(t, "", root.flags, globalFlags)
	found := 0
	for _, name := range root.verbs {
		verb, ok := findVerb(name)
		if !ok {
			t.Errorf("verb %s is missing from the table", name)
			continue
		}
		if name == "help" || name == "h" {
			continue
		}
		flags := parse(helpText(t, path, name)).flags
		found += len(flags)
		compareFlags(t, name, flags, append([]flagDef{helpFlag, {"usage", "?", boolean}}, verb.flags...))
	}
	if found < 50 {
		t.Errorf("only %d flags of verbs were found in the help of %s", found, path)
	}
}

func compareFlags(t *testing.T, verb string, listed, table []flagDef) {
	for _, f := range listed {
		names := []string{f.long, f.short}
		for _, name := range names {
			if name == "" {
				continue
			}
			i := findFlag(table, name)
			if i < 0 {
				t.Errorf("%s: flag %s is missing from the table", verb, name)
			} else if (table[i].kind == boolean) != (f.kind == boolean) {
				t.Errorf("%s: flag %s takes a value: %v, the table says otherwise", verb, name, f.kind != boolean)
			}
		}
	}
}

func helpText(t *testing.T, path string, verb ...string) string {
	t.Helper()
	out, err := exec.Command(path, append(verb, "--help")...).Output()
	if err != nil {
		t.Fatalf("%s %v --help: %v", path, verb, err)
	}
	return string(out)
}

var (
	runcFlag = regexp.MustCompile(`^   (--?[a-z0-9][^ ]*)( value)?(?:, (--?[a-z0-9-]+)(?: value)?)?(?:  |$)`)
	runcVerb = regexp.MustCompile(`^   ([a-z]+)(?:, ([a-z]+))?  `)
	crunFlag = regexp.MustCompile(`^ +(?:-(.),)? +(?:-(.),)? *--([a-z0-9-]+)(\[?=)?`)
	crunVerb = regexp.MustCompile(`^\t([a-z]+) +- `)
)

// parseRuncHelp reads urfave/cli's help.
func parseRuncHelp(out string) (h help) {
	section := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' && strings.HasSuffix(line, ":") {
			section = line
		}
		switch section {
		case "COMMANDS:":
			if m := runcVerb.FindStringSubmatch(line); m != nil {
				h.verbs = append(h.verbs, m[1])
				if m[2] != "" {
					h.verbs = append(h.verbs, m[2])
				}
			}
		// update's help has prose between its flags, with a section of its own by this reckoning.
		default:
			if m := runcFlag.FindStringSubmatch(line); m != nil && section != "" {
				f := flagDef{long: strings.TrimLeft(m[1], "-"), short: strings.TrimLeft(m[3], "-")}
				if m[2] != "" {
					f.kind = text
				}
				h.flags = append(h.flags, f)
			}
		}
	}
	return h
}

// parseCrunHelp reads argp's.
func parseCrunHelp(out string) (h help) {
	for line := range strings.Lines(out) {
		if m := crunVerb.FindStringSubmatch(line); m != nil {
			h.verbs = append(h.verbs, m[1])
		}
		m := crunFlag.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		f := flagDef{long: m[3], short: m[1]}
		if m[4] == "=" { // not [=VALUE], which is never the next argument
			f.kind = text
		}
		h.flags = append(h.flags, f)
		if m[2] != "" {
			h.flags = append(h.flags, flagDef{long: m[2]})
		}
	}
	return h
}

// The parsers above must see the flags, or the comparison compares nothing.
func TestHelpParsers(t *testing.T) {
	h := parseRuncHelp("NAME:\n   runc\n\nCOMMANDS:\n   state  x\n   help, h  y\n\nGLOBAL OPTIONS:\n   --debug  a\n" +
		"   --env value, -e value  b\n   --help, -h  c\n")
	want := []flagDef{{"debug", "", boolean}, {"env", "e", text}, {"help", "h", boolean}}
	if len(h.flags) != 3 || h.flags[0] != want[0] || h.flags[1] != want[1] || h.flags[2] != want[2] || len(h.verbs) != 3 {
		t.Errorf("runc: %+v", h)
	}
	h = parseCrunHelp("\tcreate      - c\n      --log=FILE\n  -t, --tty[=TTY]   x\n  -?, --help    y\n  -v, -V, --version\n")
	want = []flagDef{{"log", "", text}, {"tty", "t", boolean}, {"help", "?", boolean}, {"version", "v", boolean}, {"V", "", boolean}}
	if len(h.flags) != len(want) || len(h.verbs) != 1 {
		t.Fatalf("crun: %+v", h)
	}
	for i := range want {
		if h.flags[i] != want[i] {
			t.Errorf("crun: %+v, want %+v", h.flags[i], want[i])
		}
	}
}

// A verb's flags must not share a name, or the table is ambiguous.
func TestFlagNamesUnique(t *testing.T) {
	tables := map[string][]flagDef{"": globalFlags}
	for _, v := range verbs {
		tables[v.name] = append([]flagDef{helpFlag}, v.flags...)
	}
	for verb, flags := range tables {
		seen := map[string]bool{}
		for _, f := range flags {
			for _, name := range []string{f.long, f.short} {
				if name != "" && seen[name] {
					t.Errorf("%s: %s stands twice", verb, name)
				}
				seen[name] = true
			}
		}
	}
}

// realDir is a temporary folder under its real name, as /proc would show it.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
