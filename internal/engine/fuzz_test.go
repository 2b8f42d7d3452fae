package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// seeds are the files of the corpus with this name.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	files, _ := filepath.Glob("testdata/" + pattern)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	if len(files) == 0 {
		f.Fatal("no seeds")
	}
}

// FuzzDaemonJSON: what is added can be taken out by looking at the text alone, and the rest keeps every byte.
func FuzzDaemonJSON(f *testing.F) {
	seeds(f, "docker/*/daemon.json")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 || strings.TrimSpace(strings.TrimPrefix(text, bom)) != "" && checkDocker("f", text) != nil {
			return
		}
		d := docker{"f", text}
		if known := d.known(); known["rtshield"] != "" || known["rtshield-fifo"] != "" {
			return
		}
		edit, err := d.insert(asked)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		was, _ := decoded(text)
		now, err := decoded(edit.text)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, edit.text, err)
		}
		runtimes := lookup(now, "runtimes")
		for _, r := range asked {
			if !reflect.DeepEqual(runtimes[r.Name], map[string]any{"path": r.Program}) {
				t.Fatalf("%q became %q", text, edit.text)
			}
			delete(runtimes, r.Name)
		}
		if lookup(was, "runtimes") == nil {
			delete(now, "runtimes")
		}
		if len(was)+len(now) > 0 && !reflect.DeepEqual(was, now) {
			t.Fatalf("%q says %v, and %q said %v", edit.text, now, text, was)
		}
		back, err := d.strip(edit.text, &record{Runtimes: asked, Was: edit.was})
		if err != nil || back != text && len(was) > 0 {
			t.Errorf("%q became %q and then %q, %v", text, edit.text, back, err)
		}
	})
}

// decoded reads a daemon.json, whose numbers may be greater than any of Go's.
func decoded(text string) (object map[string]any, err error) {
	decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, bom)))
	decoder.UseNumber()
	err = decoder.Decode(&object)
	return object, err
}

// FuzzConfigTOML: whatever containerd reads, our block can be added to and taken out of, or is refused in one line.
func FuzzConfigTOML(f *testing.F) {
	seeds(f, "containerd/*/config.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 || strings.Contains(text, blockBegin) || strings.Contains(text, "imports") {
			return
		}
		files := newTree()
		files.was["/f"] = file{text, true}
		editor, err := newContainerd(files, "/f")
		var fresh edit
		if err == nil && editor.known()["rtshield"] == "" {
			fresh, err = editor.insert(asked[:1])
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %q", text, err)
			}
			return
		}
		if fresh.text == "" {
			return
		}
		was, now := decode(t, "f", text), decode(t, "f", fresh.text)
		if program := containerdRuntimes(now)["rtshield"]; program != testProgram && !strings.Contains(text, "runtime_path") {
			t.Errorf("%q became %q: %q", text, fresh.text, program)
		}
		if back := dropBlock(fresh.text); back != text {
			t.Errorf("%q became %q and then %q", text, fresh.text, back)
		}
		if !strings.Contains(text, "rtshield") && len(was) > 0 {
			at := []string{"plugins", editor.(containerd).plugin, "containerd", "runtimes"}
			if lookup(was, append(at, "runc")...) == nil {
				delete(lookup(now, at...), "runc") // containerd 1.x needs it
			}
			if got, want := pruned(now), pruned(was); !reflect.DeepEqual(got, want) {
				t.Errorf("%q says beside our part\n%v\nand said\n%v", fresh.text, got, want)
			}
		}
	})
}
