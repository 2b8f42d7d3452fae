package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// This program stands for rtshield where a shell calls it.
func TestMain(m *testing.M) {
	if os.Getenv("RTSHIELD_TEST_AS_PROGRAM") != "" {
		os.Exit(run(os.Args))
	}
	os.Exit(m.Run())
}

// program puts a command rtshield into a directory of its own, and gives that.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nRTSHIELD_TEST_AS_PROGRAM=1 exec %q \"$@\"\n", self)
	if err := os.WriteFile(filepath.Join(dir, "rtshield"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each shell is told to complete a line, of which the last word is not yet whole, and prints what it found, a line each.
var drivers = map[string]func(words []string) string{
	"bash": func(words []string) string {
		return fmt.Sprintf("eval \"$(rtshield completion bash)\"\nCOMP_WORDS=(%s) COMP_CWORD=%d\n_rtshield\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n",
			quote(words), len(words)-1)
	},
	// What zsh shows is drawn by its line editor, which only a terminal has: the last step is ours.
	"zsh": func(words []string) string {
		return fmt.Sprintf("compdef() { }\n_describe() { print -l -- \"${(@)${(@P)2}%%%%:*}\" }\n_files() { }\nsource <(rtshield completion zsh)\nwords=(%s) CURRENT=%d\n_rtshield\n",
			quote(words), len(words))
	},
	"fish": func(words []string) string {
		return fmt.Sprintf("rtshield completion fish | source\ncomplete -C '%s' | string replace -r '\\t.*' ''\n", strings.Join(words, " "))
	},
}

func quote(words []string) string { return "'" + strings.Join(words, "' '") + "'" }

func TestEachShellCompletesCommandsFlagsAndValues(t *testing.T) {
	path := program(t) + ":" + os.Getenv("PATH")
	for shell, driver := range drivers {
		for line, want := range map[string][]string{
			"rtshield sta":                      {"status"},
			"rtshield status --in":              {"--interval"},
			"rtshield install docker --re":      {"--restart"},
			"rtshield explain --class f":        {"fifo"},
			"rtshield explain --json --bund":    {"--bundle"},
			"rtshield help an":                  {"annotations"},
			"rtshield completion ":              {"bash", "fish", "zsh"},
			"rtshield install docker --class r": {"rr"},
		} {
			flags := map[string][]string{"bash": {"--norc"}, "zsh": {"-f"}, "fish": {"--no-config"}}[shell]
			cmd := exec.Command(shell, append(flags, "-c", driver(strings.Split(line, " ")))...)
			cmd.Env = append(os.Environ(), "PATH="+path, "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			got := strings.Fields(string(out))
			if slices.Sort(got); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %q: %q %v, want %q", shell, line, got, err, want)
			}
		}
	}
}

func TestWhatCouldStandWhereTheCursorIs(t *testing.T) {
	app := administrator()
	app.Setup()
	for line, want := range map[string]string{
		"st":                        "status",
		"":                          "status explain reconcile verify check latency install uninstall completion help",
		"status --json --pro":       "--prometheus",
		"status --output ":          "", // a file
		"explain --class=":          "",
		"explain --class = de":      "deadline",
		"--root /run/runc expl":     "explain",
		"explain --class fifo --js": "--json",
		"uninstall ":                "docker containerd crio podman",
		"install podman --n":        "--name",
		"help le":                   "levels",
		"help --":                   "--help",
		"help status ":              "",
		"help stat":                 "status",
		"nonsense":                  "",
		"exec web sta":              "", // the delegate's
	} {
		var got []string
		for _, found := range candidates(app, strings.Split(line, " ")) {
			if got = append(got, found.word); found.usage == "" || strings.ContainsAny(found.usage, "\t\n") {
				t.Errorf("%q: %q is explained by %q", line, found.word, found.usage)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	for _, command := range administrator().Commands {
		if !strings.Contains(command.Description, "EXAMPLES\n") || command.Usage == "" {
			t.Errorf("rtshield %s --help shows no example", command.Name)
		}
	}
}

// shown gives what a command line prints.
func shown(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	app := administrator()
	app.Writer, app.ErrWriter = &out, &out
	err := app.Run(append([]string{"rtshield"}, args...))
	return out.String(), err
}

func TestHelpKnowsItsTopicsAndTheCommands(t *testing.T) {
	t.Setenv("RTSHIELD_CONFIG", "/nonexistent/config.toml")
	for topic, words := range map[string][]string{
		"annotations": {"smt            isolate (one thread of each core", "default: isolate", "realtime-mask"},
		"classes":     {"cannot be used", "OPTION ", "max_priority ", "fifo ", "batch\n"},
		"levels":      {"partition  the container's cgroup", "affinity   tasks are moved"},
		"policy":      {"[layout]", "cpus_from  who chooses", "[class.<name>]", "default: 20us; batch: keep"},
	} {
		text, err := shown(t, "help", topic)
		if err != nil {
			t.Error(err)
		}
		for _, line := range tooWide(text, 100) {
			t.Error(line)
		}
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("help %s says no %q:\n%s", topic, word, text)
			}
		}
	}
	for _, args := range [][]string{{"help", "status"}, {"status", "--help"}, {"h", "status"}} {
		if text, err := shown(t, args...); err != nil || !strings.Contains(text, "--watch") || !strings.Contains(text, "EXAMPLES") {
			t.Errorf("%q: %v\n%s", args, err, text)
		}
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {}} {
		if text, err := shown(t, args...); err != nil || !strings.Contains(text, "annotations, classes, levels, policy") || !strings.Contains(text, "reconcile") {
			t.Errorf("%q: %v\n%s", args, err, text)
		}
	}
	if text, err := shown(t, "help", "install", "docker"); err != nil || !strings.Contains(text, "--restart") {
		t.Errorf("help install docker: %v\n%s", err, text)
	}
	if _, err := shown(t, "help", "anotations"); err == nil || !strings.Contains(err.Error(), `"anotations"`) {
		t.Errorf("a topic that is none: %v", err)
	}
	if _, err := shown(t, "completion", "tcsh"); err == nil || !strings.Contains(err.Error(), `"tcsh"`) {
		t.Errorf("a shell that is none: %v", err)
	}
}
