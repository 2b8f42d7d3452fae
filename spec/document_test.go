package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

var testHook = Hook{Program: "/usr/local/bin/rtshield", State: "/run/rtshield", Root: "/run/runc", Poststart: true}

func testGrant(t *testing.T, cpus string) shield.Grant {
	t.Helper()
	set, err := shield.ParseCPUs(cpus)
	if err != nil {
		t.Fatal(err)
	}
	node, _ := shield.ParseCPUs("0")
	return shield.Grant{Class: "fifo", CPUs: set, Mems: node, Level: "none"}
}

var testRlimits = []Rlimit{Same("RLIMIT_RTPRIO", 80), Same("RLIMIT_MEMLOCK", 1<<64-1)}

// bundle copies a recorded file into a bundle of its own.
func bundle(t *testing.T, recorded string) string {
	t.Helper()
	data, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o640); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t *testing.T, dir string) *Document {
	t.Helper()
	document, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func shieldAndSave(t *testing.T, dir, cpus string) {
	t.Helper()
	document := load(t, dir)
	if err := document.Shield(testGrant(t, cpus), testRlimits, testHook); err != nil {
		t.Fatal(err)
	}
	if err := document.Save(); err != nil {
		t.Fatal(err)
	}
}

func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 7 {
		t.Fatalf("recorded files: %v %v", files, err)
	}
	return files
}

// TestUntouchedPathsSurviveLetterByLetter compares every scalar, as it is written, and the order of all keys.
func TestUntouchedPathsSurviveLetterByLetter(t *testing.T) {
	for _, file := range recorded(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := bundle(t, file)
			before := flatten("", gjson.ParseBytes(read(t, dir)))
			shieldAndSave(t, dir, "1")
			text := read(t, dir)
			if !json.Valid(text) {
				t.Fatal("not JSON any more")
			}
			after := flatten("", gjson.ParseBytes(text))
			if len(before) < 20 {
				t.Fatalf("only %d values compared", len(before))
			}
			if !slices.Equal(before, after) {
				for i := range before {
					if i >= len(after) || before[i] != after[i] {
						t.Fatalf("%.200s became %.200s", before[i], after[min(i, len(after)-1)])
					}
				}
				t.Fatalf("added: %.200s", after[len(before)])
			}
		})
	}
}

// flatten lists "path: raw text" in the order of the file, without the paths that we edit.
func flatten(path string, value gjson.Result) []string {
	for _, ours := range []string{
		".linux.resources.cpu.cpus", ".linux.resources.cpu.mems", ".linux.resources.cpu.quota", ".linux.resources.cpu.period",
		".linux.resources.unified.cpu.max", ".process.scheduler",
	} {
		if path == ours {
			return nil
		}
	}
	if !value.IsObject() && !value.IsArray() {
		if strings.Contains(value.Raw, "RTSHIELD_") {
			return nil
		}
		return []string{path + ": " + value.Raw}
	}
	var list []string
	ours := false
	value.ForEach(func(key, element gjson.Result) bool {
		name := key.String()
		if value.IsArray() {
			name = "[]"
			ours = strings.Contains(element.Raw, `"--state"`) || strings.Contains(element.Raw, "RLIMIT_RTPRIO") ||
				strings.Contains(element.Raw, "RLIMIT_MEMLOCK")
		}
		if !ours {
			list = append(list, flatten(path+"."+name, element)...)
		}
		return true
	})
	return list
}

// TestOddTextSurvives: white space, number formats and escapes that no encoder would write.
func TestExecGetsItsCPUsAndTheContainerTheWiderCpuset(t *testing.T) {
	for _, file := range recorded(t) {
		dir := bundle(t, file)
		before := read(t, dir)
		document := load(t, dir)
		grant := testGrant(t, "4")
		grant.ExecCPUs, _ = shield.ParseCPUs("0-1")
		if err := document.Shield(grant, nil, testHook); err != nil {
			t.Fatal(err)
		}
		if err := document.Save(); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{
			"linux.resources.cpu.cpus": `"0-1,4"`, "process.execCPUAffinity": `{"final":"0-1","initial":"0-1"}`,
			`process.env.#(%"RTSHIELD_CPUS=*")`: `"RTSHIELD_CPUS=4"`,
		} {
			if got := gjson.GetBytes(read(t, dir), path).Raw; got != want {
				t.Errorf("%s: %s is %s, want %s", file, path, got, want)
			}
		}
		var original, back any
		if json.Unmarshal(before, &original) != nil || json.Unmarshal(load(t, dir).Bytes(), &back) != nil || !reflect.DeepEqual(original, back) {
			t.Errorf("%s: not all of it is taken back", file)
		}
	}
}

func TestOddTextSurvives(t *testing.T) {
	dir := bundle(t, "testdata/unknown-fields.json")
	shieldAndSave(t, dir, "1")
	text := string(read(t, dir))
	for _, odd := range []string{
		`"ociVersion" : "9.9.9",`, `{"deep": [1, 2.50, 1e3, -0, "\u00e9\/"], "n": 12345678901234567890}`, `"zeta": null`,
		`"x-cpu": [ ]`, `"x-hook": 1`, `"trailing": [ ]`, `"newThing": "kept"`, `{"path": "/usr/bin/other", "args":["other"]}`, "\n\n\t\"linux\"",
	} {
		if !strings.Contains(text, odd) {
			t.Errorf("%s is gone from\n%s", odd, text)
		}
	}
	for _, gone := range []string{"SCHED_FIFO", "cpu.max", "50000", `"RTSHIELD_CPUS=7"`} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestLoadTakesOurEditsBackOut(t *testing.T) {
	for _, file := range recorded(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := bundle(t, file)
			original := read(t, dir)
			shieldAndSave(t, dir, "1")
			var a, b any
			if json.Unmarshal(original, &a) != nil || json.Unmarshal(load(t, dir).Bytes(), &b) != nil {
				t.Fatal("not JSON")
			}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("not what the user wrote:\n%v\n%v", a, b)
			}
		})
	}
}

func TestRunningAgainNeverDoublesOrKeepsStale(t *testing.T) {
	for _, file := range recorded(t) {
		dir := bundle(t, file)
		shieldAndSave(t, dir, "1")
		once := read(t, dir)
		for _, cpus := range []string{"2-3", "5", "1"} {
			shieldAndSave(t, dir, cpus)
			text := string(read(t, dir))
			if n := strings.Count(text, `"createRuntime","--state"`); n != 1 {
				t.Errorf("%s: %d hooks of ours", file, n)
			}
			if n := strings.Count(text, "RTSHIELD_CPUS="); n != 1 || !strings.Contains(text, `"RTSHIELD_CPUS=`+cpus+`"`) {
				t.Errorf("%s: RTSHIELD_CPUS stands %d times", file, n)
			}
		}
		var a, b any
		if json.Unmarshal(once, &a) != nil || json.Unmarshal(read(t, dir), &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the same grant gives another file the fourth time:\n%s\n%s", file, once, read(t, dir))
		}
	}
}

func TestWhatTheUserEditedSinceStays(t *testing.T) {
	dir := bundle(t, "testdata/runc-spec.json")
	shieldAndSave(t, dir, "1")
	edited := strings.Replace(string(read(t, dir)), `"cpus":"1"`, `"cpus":"3"`, 1)
	edited = strings.Replace(edited, `"cwd": "/"`, `"cwd": "/tmp"`, 1)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	text := string(load(t, dir).Bytes())
	if !strings.Contains(text, `"cpus":"3"`) || !strings.Contains(text, `"cwd": "/tmp"`) {
		t.Errorf("the user's edits are gone: %s", text)
	}
	if strings.Contains(text, "rtshield") {
		t.Errorf("ours are not: %s", text)
	}
}

func TestNothingIsWrittenWhenNothingChanged(t *testing.T) {
	dir := bundle(t, "testdata/runc-spec.json")
	path := filepath.Join(dir, "config.json")
	inode := func() os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := inode()
	if err := load(t, dir).Save(); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, inode()) {
		t.Error("an ordinary container's config.json was replaced")
	}
	shieldAndSave(t, dir, "1")
	second := inode()
	if os.SameFile(first, second) {
		t.Error("the file was written in place")
	}
	shieldAndSave(t, dir, "1")
	if !os.SameFile(second, inode()) {
		t.Error("the same edits were written again")
	}
}

func TestOwnerModeAndLinkAreKept(t *testing.T) {
	real := bundle(t, "testdata/runc-spec.json")
	path := filepath.Join(real, "config.json")
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.Symlink(path, filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	shieldAndSave(t, dir, "1")
	if info, err := os.Lstat(filepath.Join(dir, "config.json")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode() != after.Mode() || !reflect.DeepEqual(ownerOf(before), ownerOf(after)) {
		t.Errorf("mode %v owner %v became %v %v", before.Mode(), ownerOf(before), after.Mode(), ownerOf(after))
	}
	entries, _ := os.ReadDir(real)
	if len(entries) != 2 { // config.json and its journal
		t.Errorf("left behind: %v", entries)
	}
}

// On cgroup v2 runc writes unified over linux.resources.cpu.
func TestUnifiedCPUsCountAndAreReplaced(t *testing.T) {
	edits := map[string]func(*Document) error{
		"Shield": func(d *Document) error { return d.Shield(testGrant(t, "2"), nil, testHook) },
		"Cut":    func(d *Document) error { set, _ := shield.ParseCPUs("2"); return d.Cut(set, testHook) },
	}
	for name, edit := range edits {
		dir := t.TempDir()
		text := `{"linux":{"resources":{"cpu":{"cpus":"0"},"unified":{"cpuset.cpus":"1-3","cpuset.mems":"0","memory.high":"1"}}}}`
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		document := load(t, dir)
		if request, err := document.Request(shield.Key{ID: "a"}, ""); err != nil || request.CPUs != "1-3" || request.Mems != "0" {
			t.Errorf("%s: read as %+v (%v)", name, request, err)
		}
		if err := edit(document); err != nil {
			t.Fatal(err)
		}
		resources := gjson.GetBytes(document.Bytes(), "linux.resources")
		if resources.Get("cpu.cpus").String() != "2" || resources.Get(`unified.cpuset\.cpus`).Exists() || resources.Get(`unified.memory\.high`).String() != "1" {
			t.Errorf("%s: %s", name, resources)
		}
	}
}
