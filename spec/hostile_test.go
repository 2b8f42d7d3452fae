package spec

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
)

func ownerOf(info os.FileInfo) [2]uint32 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]uint32{}
	}
	return [2]uint32{stat.Uid, stat.Gid}
}

func writeBundle(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runc reads keys without regard to case and the last of several; a file that means one thing to us and another to
// runc must not be run.
func TestAmbiguousKeysAreRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"linux":{},"linux":{}}`, `key "linux" stands twice`},
		{`{"Linux":{"resources":{"cpu":{"cpus":"0"}}}}`, `write it "linux"`},
		{`{"linux":{"resources":{"cpu":{"cpus":"0","CPUs":"1"}}}}`, `write it "cpus"`},
		{`{"process":{"env":[],"ENV":[]}}`, `write it "env"`},
		{`{"hooks":[]}`, `hooks is not an object`},
		{`{"process":{"env":"X=1"}}`, `process.env is not an array`},
	} {
		err := load(t, writeBundle(t, c.text)).Shield(testGrant(t, "1"), nil, testHook)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want …%s…", c.text, err, c.want)
		}
	}
}

func TestFilesThatAreNoConfig(t *testing.T) {
	for _, text := range []string{"", "[]", "{", "null", "\xff\xfe", `{"a":1}}`} {
		if _, err := Load(writeBundle(t, text)); !errors.Is(err, ErrNotJSON) {
			t.Errorf("%q: %v", text, err)
		}
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "config.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestHalfWrittenJournalIsIgnored(t *testing.T) {
	dir := bundle(t, "testdata/runc-spec.json")
	original := string(read(t, dir))
	if err := os.WriteFile(filepath.Join(dir, "config.json.rtshield"), []byte(`[{"path":"lin`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := string(load(t, dir).Bytes()); got != original {
		t.Error("a half-written journal changed the file")
	}
}

func TestRequestIsReadFromAnnotationsAndSpecOnly(t *testing.T) {
	request := func(text string) shield.Request {
		t.Helper()
		got, err := load(t, writeBundle(t, text)).Request(shield.Key{Root: "/r", ID: "web"}, "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := request(`{"process":{"env":["RTSHIELD_CLASS=fifo","rtshield.io/class=fifo"]}}`); got.Asks() {
		t.Errorf("the environment asked: %+v", got)
	}
	if got := request(`{"annotations":{"rtshield.io/class":"fifo","io.kubernetes.cri.container-type":"sandbox"}}`); got.Asks() {
		t.Errorf("a pause container asked: %+v", got)
	}
	if got := request(`{"linux":{"resources":{"cpu":{"cpus":"1"}}}}`); got.Asks() {
		t.Errorf("a cpuset alone asked: %+v", got)
	}
	if got := request(`{"process":{"scheduler":{"policy":"SCHED_OTHER","nice":5}}}`); got.Asks() {
		t.Errorf("an ordinary policy asked: %+v", got)
	}
	got := request(`{"annotations":{"rtshield.io/class":"fifo","class.rtshield.io/web":"rr","class.rtshield.io/other":"batch",
		"io.kubernetes.cri.container-name":"web"},"process":{"scheduler":{"policy":"SCHED_FIFO","priority":7}}}`)
	if !got.Asks() || got.Name != "web" || got.Choices["class"].Value != "rr" || got.Scheduler.Priority != 7 {
		t.Errorf("got %+v", got)
	}
}

func FuzzDocument(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"hooks":{"createRuntime":null},"process":null,"linux":{"resources":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !isObject(data) {
			return
		}
		document := &Document{Path: "config.json", disk: data, user: data, data: data}
		if _, err := document.Request(shield.Key{ID: "x"}, ""); err != nil {
			return
		}
		if err := document.Shield(testGrant(t, "1"), testRlimits, testHook); err != nil {
			return
		}
		if !json.Valid(document.data) {
			t.Fatalf("%s\nbecame no JSON:\n%s", data, document.data)
		}
		back, err := undoAll(document.data, document.ops)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(data, &a) != nil {
			return // gjson takes more than encoding/json in the depth of nesting
		}
		if json.Unmarshal(back, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("taken back:\n%s\nwas\n%s", back, data)
		}
	})
}
