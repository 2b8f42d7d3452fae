package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/engine"
)

// Commands in the documents are for copying: lines of indented blocks that begin with the name of a program.

const docs = "../../docs/"

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	command      = regexp.MustCompile(`(?m)^    ((?:rtshield|docker|podman|ctr|make) [^\n]*)$`)
	substitution = regexp.MustCompile(`\$\([^)]*\)`)
	word         = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	comment      = regexp.MustCompile(`\s#\s.*$`)
	pipe         = regexp.MustCompile(`\s(?:\||\|\||&&|>)\s.*$`)
)

// commands gives the words of each command of a page.
func commands(page string) (all [][]string) {
	for _, match := range command.FindAllStringSubmatch(page, -1) {
		line := substitution.ReplaceAllString(comment.ReplaceAllString(match[1], ""), "SUBSTITUTED")
		words := word.FindAllString(pipe.ReplaceAllString(line, ""), -1)
		for i := range words {
			words[i] = strings.NewReplacer("'", "", `"`, "").Replace(words[i])
		}
		all = append(all, words)
	}
	return all
}

// understood carries a command line out up to where something would be done.
func understood(words []string) error {
	app := administrator()
	reached := false
	var instead func(commands []*cli.Command)
	instead = func(commands []*cli.Command) {
		for _, command := range commands {
			whole := len(command.Subcommands) == 0 // before cli adds help to each
			command.Action = func(c *cli.Context) error {
				if c.Args().Present() && command.ArgsUsage == "" {
					return fmt.Errorf("%s takes no argument, got %q", command.Name, c.Args().First())
				}
				if whole {
					reached = true
				}
				return nil
			}
			instead(command.Subcommands)
		}
	}
	instead(app.Commands)
	app.Writer, app.ErrWriter = new(strings.Builder), new(strings.Builder)
	if err := app.Run(words); err != nil {
		return err
	}
	if !reached {
		return fmt.Errorf("%q is no whole command", words)
	}
	return nil
}

func TestTheCommandsOfTheGuidesAreThoseOfTheProgram(t *testing.T) {
	for _, wrong := range [][]string{{"rtshield", "statsu"}, {"rtshield", "status", "--wach"}, {"rtshield", "install", "dokcer"}, {"rtshield", "install"}, {"rtshield", "check", "now"}} {
		if err := understood(wrong); err == nil {
			t.Errorf("%q is understood", wrong)
		}
	}
	classes := config.Default().Classes
	for _, page := range []string{"quickstart.md", "concepts.md", "compared.md", "troubleshooting.md"} {
		count := 0
		for _, words := range commands(readPage(t, docs+page)) {
			if words[0] != "rtshield" {
				continue
			}
			count++
			if err := understood(words); err != nil {
				t.Errorf("docs/%s: %q: %v", page, words, err)
			}
			for _, class := range valuesAfter(words, "--class") {
				if _, known := classes[class]; !known {
					t.Errorf("docs/%s: %q names no class", page, words)
				}
			}
		}
		if count == 0 {
			t.Errorf("docs/%s has no command of rtshield's", page)
		}
	}
}

// valuesAfter are the words that stand behind a flag.
func valuesAfter(words []string, flag string) (values []string) {
	for i, word := range words[:len(words)-1] {
		if word == flag {
			values = append(values, words[i+1])
		}
	}
	return values
}

// installed are the runtimes that the page's own install commands give each engine, as their plans say.
func installed(t *testing.T, all [][]string) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	for _, words := range all {
		if words[0] != "rtshield" || words[1] != "install" {
			continue
		}
		at := slices.IndexFunc(engine.Engines(), func(e engine.Engine) bool { return e.Name == words[2] })
		if at < 0 {
			t.Fatalf("%q names no engine", words)
		}
		e := engine.Engines()[at]
		dir := t.TempDir()
		runtimes, err := engine.Runtimes("rtshield", filepath.Join(dir, "rtshield"), valuesAfter(words, "--class"))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := e.Install(filepath.Join(dir, filepath.Base(e.Config)), runtimes)
		if err != nil {
			t.Fatal(err)
		}
		var diff strings.Builder
		plan.Diff(&diff)
		for _, r := range runtimes {
			if !regexp.MustCompile(`(?m)^\+.*\b` + r.Name + `\b`).MatchString(diff.String()) {
				t.Errorf("%q would not write %s:\n%s", words, r.Name, diff.String())
			}
			names[e.Name] = append(names[e.Name], r.Name)
		}
	}
	return names
}

func TestTheRuntimesOfTheQuickStartAreThoseThatItInstalls(t *testing.T) {
	page := readPage(t, docs+"quickstart.md")
	all := commands(page)
	names := installed(t, all)
	used := map[string]int{}
	for _, words := range all {
		for _, name := range valuesAfter(words, "--runtime") {
			if used[words[0]]++; !slices.Contains(names[words[0]], name) {
				t.Errorf("%q: install gives %s %q", words, words[0], names[words[0]])
			}
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^handler: (.*)$`).FindAllStringSubmatch(page, -1) {
		if used["containerd"]++; !slices.Contains(names["containerd"], match[1]) {
			t.Errorf("handler %s: install gives containerd %q", match[1], names["containerd"])
		}
	}
	for _, engine := range []string{"docker", "podman", "containerd"} {
		if used[engine] == 0 {
			t.Errorf("%s runs nothing", engine)
		}
	}
}

func TestTheQuickStartUsesWhatTheMakefilePutsThere(t *testing.T) {
	page, makefile := readPage(t, docs+"quickstart.md"), readPage(t, "../../Makefile")
	targets, programs := 0, 0
	for _, words := range commands(page) {
		if words[0] == "make" {
			if targets++; !strings.Contains(makefile, "\n"+words[1]+":") {
				t.Errorf("the Makefile has no %s", words[1])
			}
		}
		for _, path := range valuesAfter(words, "--runc-binary") {
			name, found := strings.CutPrefix(path, "/usr/local/bin/")
			if programs++; !found || !regexp.MustCompile(`\$\(PREFIX\)/bin/`+name+`\s`).MatchString(makefile) {
				t.Errorf("make install does not put anything at %s", path)
			}
		}
	}
	if targets < 2 || programs < 2 || !strings.Contains(makefile, "PREFIX  ?= /usr/local\n") {
		t.Errorf("%d targets, %d programs", targets, programs)
	}
	_, wanted, _ := strings.Cut(readPage(t, "../../go.mod"), "\ngo ")
	wanted, _, _ = strings.Cut(wanted, "\n")
	if !strings.Contains(page, "version "+wanted+" or later") || !strings.Contains(page, "/dl/go"+wanted+".linux-") {
		t.Errorf("go.mod wants Go %s, the page does not", wanted)
	}
}
