package manual

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/config/location"
	"github.com/rtshield/rtshield/internal/shield"
)

var update = flag.Bool("update", false, "write docs/reference.md")

// reference is docs/reference.md.
func reference() []byte {
	var page bytes.Buffer
	row := func(cells ...string) {
		fmt.Fprintln(&page, strings.ReplaceAll("| "+strings.Join(cells, " | ")+" |", "*", `\*`))
	}
	head := func(cells ...string) {
		row(cells...)
		fmt.Fprintln(&page, strings.Repeat("|---", len(cells))+"|")
	}
	fmt.Fprintf(&page, `# Reference

Every annotation and every key of the policy file. This page is written from the code by %[1]smake reference%[1]s, and a test fails when
it is stale; %[1]srtshield help annotations|classes|levels|policy%[1]s prints the same.

## Annotations

%[1]s%[2]s/<key>%[1]s asks for a container, or for all containers of a pod; %[1]s<key>.%[2]s/<container>%[1]s asks for one of a pod, and
wins. A wrong value or an unknown key fails %[1]screate%[1]s.

`, "`", shield.Domain)
	head("key", "values", "default")
	for _, a := range Annotations() {
		row("`"+a.Key+"`", a.Values, a.Default)
	}
	fmt.Fprintf(&page, `
## The policy file

%[1]s%[2]s%[1]s, root's and writable by nobody else; %[1]sRTSHIELD_CONFIG%[1]s in the engine's environment names another. Without
it all is as the defaults say. It is strict: an unknown key or a wrong value is an error with file and line. The values are what
such an error says.
`, "`", location.Default)
	table := ""
	for _, s := range Settings() {
		if s.Table != table {
			table = s.Table
			title := "`[" + table + "]`"
			if table == config.TableClass {
				title = "`[" + table + ".<name>]`"
			}
			fmt.Fprintf(&page, "\n### %s\n\n", title)
			if table == config.TableClass {
				fmt.Fprint(&page, "What a class leaves out is as in the built-in class of its name, else of its policy ([all four](classes.md)).\n\n")
			}
			head("key", "what it is", "values", "default")
		}
		meaning := s.Meaning
		if s.More != "" {
			meaning += " ([more](" + s.More + "))"
		}
		row("`"+s.Key+"`", meaning, s.Values, s.Default)
	}
	fmt.Fprint(&page, "\n## Levels\n\n")
	head("level", "where", "what keeps others away")
	for _, level := range Levels() {
		row("`"+level.Name+"`", level.Where, level.How)
	}
	return page.Bytes()
}

func TestTheReferenceIsWhatTheCodeSays(t *testing.T) {
	const path = "../../docs/reference.md"
	if *update {
		if err := os.WriteFile(path, reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := reference(); !bytes.Equal(written, want) {
		old := strings.Split(string(written), "\n")
		for line := range strings.Lines(string(want)) {
			if !slices.Contains(old, strings.TrimSuffix(line, "\n")) {
				t.Errorf("docs/reference.md lacks: %s", line)
			}
		}
		t.Error("docs/reference.md is stale: make reference")
	}
}

func TestEveryKeyOfThePolicyFileIsDescribed(t *testing.T) {
	described := map[string][]string{}
	for _, s := range Settings() {
		if described[s.Table] = append(described[s.Table], s.Key); s.Values == "" || s.Default == "" || s.Meaning == "" {
			t.Errorf("%+v", s)
		}
		if s.More != "" {
			if _, err := os.Stat("../../docs/" + s.More); err != nil {
				t.Errorf("%s: %v", s.Key, err)
			}
		}
	}
	for _, table := range []string{config.TableRuntime, config.TableLayout, config.TableClass} {
		if want := config.TableKeys(table); !slices.Equal(slices.Sorted(slices.Values(described[table])), slices.Sorted(slices.Values(want))) {
			t.Errorf("[%s] is described with %q, the file has %q", table, described[table], want)
		}
	}
}

// Only what is true or false has no wrong value of its type.
func TestTheValuesOfAKeyAreWhatTheFilesReaderExpects(t *testing.T) {
	for _, s := range Settings() {
		if s.Values == "true, false" && s.Key != "shared" {
			t.Errorf("no value of %s was refused", s.Key)
		}
	}
	for _, c := range []struct{ key, values, builtin string }{
		{"shield", `"auto" or a list of CPUs such as "2-7"`, "auto"}, {"smt", `"prefer", "require", "isolate"`, "isolate"},
		{"nice", "-20 to 19", "0"}, {"cstates", `"off" (no sleep at all)`, "20us; batch: keep"}, {"near", "netdev eth1", "empty"},
	} {
		at := slices.IndexFunc(Settings(), func(s Setting) bool { return s.Key == c.key })
		if s := Settings()[at]; !strings.Contains(s.Values, c.values) || s.Default != c.builtin {
			t.Errorf("%s has %q, default %q", c.key, s.Values, s.Default)
		}
	}
}
