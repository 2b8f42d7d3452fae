package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// program is what the entries of all tests stand for.
const testProgram = "/usr/local/bin/rtshield"

// asked are the runtimes of `--class fifo`, whose link is there.
var asked = []Runtime{{Name: "rtshield", Program: testProgram}, {Name: "rtshield-fifo", Program: "/usr/local/bin/rtshield-fifo"}}

// site is a configuration of the corpus in a directory of the test's own.
type site struct {
	engine      Engine
	dir, config string
}

// corpus runs a test on every configuration of testdata, and on hosts that have none.
func corpus(t *testing.T, test func(*testing.T, site)) {
	t.Helper()
	count := 0
	for _, e := range Engines() {
		cases, err := filepath.Glob("testdata/" + e.Name + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range append(cases, "nothing", "no-directory") {
			count++
			t.Run(e.Name+"/"+filepath.Base(from), func(t *testing.T) { test(t, lay(t, e, from)) })
		}
	}
	if count < 30 {
		t.Errorf("the corpus has %d configurations", count)
	}
}

// lay copies a configuration to a new directory, which it calls DIR.
func lay(t *testing.T, e Engine, from string) site {
	t.Helper()
	s := site{engine: e, dir: t.TempDir()}
	s.config = filepath.Join(s.dir, filepath.Base(e.Config))
	if from == "no-directory" {
		s.config = filepath.Join(s.dir, "etc", filepath.Base(e.Config))
	}
	if !strings.Contains(from, "/") {
		return s
	}
	if err := os.CopyFS(s.dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for path, text := range s.files(t) {
		s.put(t, path, strings.ReplaceAll(text, "DIR", s.dir))
	}
	if templates, _ := filepath.Glob(s.dir + "/*.tmpl"); len(templates) > 0 {
		s.config = templates[0]
	}
	return s
}

// files are all texts below the directory, by their paths.
func (s site) files(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			found[path] = "a directory"
			return nil
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(found, func(_, text string) bool { return text == "a directory" })
	return found
}

func (s site) put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s site) install(t *testing.T, runtimes ...Runtime) *Plan {
	t.Helper()
	plan, err := s.engine.Install(s.config, runtimes)
	if err == nil {
		err = plan.Apply()
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func (s site) uninstall(t *testing.T) {
	t.Helper()
	plan, err := s.engine.Uninstall(s.config)
	if err == nil {
		err = plan.Apply()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// edited is the file that install has changed.
func (s site) edited(t *testing.T) string {
	t.Helper()
	done, err := readRecord(s.config)
	if err != nil || done == nil {
		t.Fatalf("no record of install: %v", err)
	}
	return done.File
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if text, there := got[path]; !there {
			t.Errorf("%s: %s is gone", what, path)
		} else if text != want[path] {
			t.Errorf("%s: %s is\n%q\nwant\n%q", what, path, text, want[path])
		}
	}
	for path, text := range got {
		if _, known := want[path]; !known {
			t.Errorf("%s: %s is new:\n%s", what, path, text)
		}
	}
}

// decode reads a configuration as its engine does; a template, where nothing is filled in, not at all.
func decode(t *testing.T, path, text string) map[string]any {
	t.Helper()
	all := map[string]any{}
	var err error
	switch {
	case strings.HasSuffix(path, ".tmpl"):
		return nil
	case filepath.Base(path) != "daemon.json":
		err = toml.Unmarshal([]byte(text), &all)
	case strings.TrimSpace(strings.TrimPrefix(text, bom)) != "":
		decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, bom)))
		decoder.UseNumber()
		err = decoder.Decode(&all)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
	return all
}

// without takes our entries, and tables that are empty then, out of what was decoded.
func pruned(value any) any {
	table, isTable := value.(map[string]any)
	if !isTable {
		return value
	}
	kept := map[string]any{}
	for key, value := range table {
		if value = pruned(value); key != "rtshield" && key != "rtshield-fifo" && !reflect.DeepEqual(value, map[string]any{}) {
			kept[key] = value
		}
	}
	return kept
}

func TestUninstallGivesEveryByteBack(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		before := s.files(t)
		s.install(t, asked...)
		if reflect.DeepEqual(s.files(t), before) {
			t.Error("install changed nothing")
		}
		s.uninstall(t)
		same(t, "after install and uninstall", s.files(t), before)
		if entries, _ := os.ReadDir(s.dir); len(before) == 0 && len(entries) > 0 {
			t.Errorf("%s is left", entries[0].Name())
		}
	})
}

func TestInstallAddsTheRuntimesAndTouchesNothingElse(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		before := s.files(t)
		s.install(t, asked...)
		path := s.edited(t)
		after := s.files(t)
		for name, text := range before {
			if name != path && after[name] != text {
				t.Errorf("%s was changed", name)
			}
		}
		fresh, err := s.engine.editor(newTree(), s.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range asked {
			if program := fresh.known()[r.Name]; program != r.Program {
				t.Errorf("%s stands for %q:\n%s", r.Name, program, after[path])
			}
		}
		// Every line that was there is there, in its order; where JSON allows it.
		rest := after[path]
		for line := range strings.Lines(before[path]) {
			if line = strings.TrimRight(line, "\r\n ,{}"); s.engine.Name == "docker" && strings.HasPrefix(line, "{") {
				continue
			}
			_, behind, found := strings.Cut(rest, line)
			if !found {
				t.Fatalf("%q is not where it was:\n%s", line, after[path])
			}
			rest = behind
		}
		if _, existed := before[path]; existed && !strings.HasSuffix(path, ".tmpl") {
			was, now := pruned(decode(t, path, before[path])), pruned(decode(t, path, after[path]))
			if version := now.(map[string]any)["version"]; version == int64(2) && len(was.(map[string]any)) == 0 {
				was = now // an empty file
			}
			if runc := lookup(decode(t, path, after[path]), "plugins", plugins[2], "containerd", "runtimes", "runc"); len(runc) == 1 {
				return // containerd 1.x needs it: see TestRuncIsNamedWhereContainerd1WouldForgetIt
			}
			if !reflect.DeepEqual(was, now) {
				t.Errorf("beside our entries it says\n%v\nand said\n%v", now, was)
			}
		}
	})
}

func TestInstallOnceMoreChangesNothing(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		s.install(t, asked...)
		before := s.files(t)
		for _, again := range [][]Runtime{asked, asked[:1]} { // a class that was asked for stays
			if plan := s.install(t, again...); !plan.Nothing() {
				t.Errorf("there was something to do: %q", plan.Steps())
			}
			same(t, "after the second install", s.files(t), before)
		}
	})
}

func TestAClassCanBeAddedLater(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		before := s.files(t)
		s.install(t, asked[0])
		s.install(t, asked[1])
		twice := s.files(t)
		s.uninstall(t)
		same(t, "after both", s.files(t), before)
		s.install(t, asked...)
		same(t, "in one go", s.files(t), twice)
	})
}

// editAround edits a text as a person would, at its beginning and its end.
func editAround(path, text string) string {
	switch {
	case filepath.Base(path) != "daemon.json":
		return "# edited\n" + text + "\n# the end\n"
	case strings.Contains(text, `"`):
		text = strings.Replace(text, "{", `{ "max-concurrent-downloads": 3,`, 1)
	default:
		text = `{ "max-concurrent-downloads": 3}`
	}
	return text + "\n\n"
}

func TestOfAnEditedFileOnlyOurPartGoes(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		before := s.files(t)
		s.install(t, asked...)
		path := s.edited(t)
		s.put(t, path, editAround(path, s.files(t)[path]))
		if plan := s.install(t, asked...); !plan.Nothing() {
			t.Errorf("install wants to do it again: %q", plan.Steps())
		}
		s.uninstall(t)
		after := s.files(t)
		want := maps.Clone(before)
		want[path] = editAround(path, before[path])
		if text, existed := before[path]; s.engine.Name == "docker" && !strings.Contains(text, `"`) || !existed && strings.HasSuffix(path, ".tmpl") {
			// It had nothing that the edit could have been made to; what is left says the same.
			if !reflect.DeepEqual(decode(t, path, after[path]), decode(t, path, want[path])) {
				t.Errorf("left is %q", after[path])
			}
			after[path] = want[path]
		}
		// Where the text ended without a line break, whoever added a line behind ours needs one.
		if text := before[path]; text != "" && !strings.HasSuffix(text, "\n") && s.engine.Name == "containerd" {
			want[path] = "# edited\n" + text + newline(text) + "\n# the end\n"
		}
		same(t, "after the edit and uninstall", after, want)
	})
}

func TestAnInterruptedInstallCanBeTakenBackOrRepeated(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		before := s.files(t)
		s.install(t, asked...)
		complete := s.files(t)
		path := s.edited(t)
		// Killed after record and backup, before the file itself.
		rewind := func() {
			if text, existed := before[path]; existed {
				s.put(t, path, text)
			} else if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		rewind()
		s.install(t, asked...)
		same(t, "repeated", s.files(t), complete)
		rewind()
		s.uninstall(t)
		same(t, "taken back", s.files(t), before)
	})
}

func TestTheDiffIsWhatHappens(t *testing.T) {
	corpus(t, func(t *testing.T, s site) {
		plan, err := s.engine.Install(s.config, asked)
		if err != nil {
			t.Fatal(err)
		}
		var shown bytes.Buffer
		plan.Diff(&shown)
		before := s.files(t)
		if err := plan.Apply(); err != nil {
			t.Fatal(err)
		}
		path := s.edited(t)
		if got, want := patched(t, before[path], shown.String()), s.files(t)[path]; got != want {
			t.Errorf("the diff leads to %q, install to %q\n%s", got, want, shown.String())
		}
	})
}

// patched applies a unified diff with one hunk.
func patched(t *testing.T, text, diff string) string {
	t.Helper()
	var at, olds, to, news int
	_, hunk, _ := strings.Cut(diff, "@@ ")
	if _, err := fmt.Sscanf(hunk, "-%d,%d +%d,%d @@", &at, &olds, &to, &news); err != nil {
		t.Fatalf("%v: %q", err, diff)
	}
	old := lines(text)
	start := max(0, at-btoi(olds > 0))
	out := slices.Clone(old[:start])
	left := old[start:]
	_, hunk, _ = strings.Cut(hunk, "\n")
	var mark byte
	for line := range strings.Lines(hunk) {
		former := mark
		mark = line[0]
		rest := line[1:]
		switch {
		case mark == '\\':
			if former != '-' {
				out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], "\n")
			}
		case mark == '+':
			out, news = append(out, rest), news-1
		default:
			if strings.TrimSuffix(left[0], "\n") != strings.TrimSuffix(rest, "\n") {
				t.Fatalf("the diff has %q where there is %q", rest, left[0])
			}
			left, olds = left[1:], olds-1
			if mark == ' ' {
				out, news = append(out, rest), news-1
			}
		}
	}
	if olds != 0 || news != 0 {
		t.Errorf("the head of the hunk counts %d and %d lines too many", olds, news)
	}
	return strings.Join(append(out, left...), "")
}
