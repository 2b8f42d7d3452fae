package spec

import (
	"errors"
	"os"
	"path/filepath"
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
	for _, text := range []string{"", "[]", "{", "null", "\xff\xfe", `[{}]`, `"{}"`, "\ufeff{}"} {
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

// runc reads the first value of the file and no further.
func TestWhatStandsBehindTheObjectStaysThereAndTheContainerIsShielded(t *testing.T) {
	const tail = "}\n{\"annotations\":{}} and more"
	dir := writeBundle(t, `{"annotations":{"rtshield.io/class":"fifo"}}`+tail)
	request, err := load(t, dir).Request(shield.Key{ID: "web"}, "")
	if err != nil || !request.Asks() {
		t.Errorf("%+v, %v", request, err)
	}
	shieldAndSave(t, dir, "1")
	text := string(read(t, dir))
	if !strings.HasSuffix(text, tail) || !strings.Contains(text, `"cpus":"1"`) {
		t.Errorf("it became %s", text)
	}
	if got := string(load(t, dir).Bytes()); got != `{"annotations":{"rtshield.io/class":"fifo"}}` {
		t.Errorf("taken back it is %s", got)
	}
}

// What runc will act on is a request, however it is written.
func TestARequestInOtherLettersIsOne(t *testing.T) {
	for _, c := range []struct {
		text string
		asks bool
	}{
		{`{"Annotations":{"rtshield.io/class":"fifo"}}`, true},
		{`{"annotations":{},"annotations":{"rtshield.io/class":"fifo"}}`, true},
		{`{"process":{"Scheduler":{"policy":"SCHED_FIFO","priority":99}}}`, true},
		{`{"process":{"scheduler":{"Policy":"SCHED_FIFO"}}}`, true},
		{`{"Process":{"cwd":"/"},"Linux":{"resources":{"cpu":{"cpus":"1"}}}}`, false},
	} {
		dir := writeBundle(t, c.text)
		request, err := load(t, dir).Request(shield.Key{ID: "web"}, "")
		if err != nil || request.Asks() != c.asks {
			t.Errorf("%s asks: %v, %v", c.text, request.Asks(), err)
		}
		if err := load(t, dir).Shield(testGrant(t, "1"), nil, testHook); err == nil {
			t.Errorf("%s is shielded though it could be read in two ways", c.text)
		}
	}
	request, err := load(t, writeBundle(t, `{"process":{"rlimits":[{"Type":"RLIMIT_RTPRIO","hard":99}]},"linux":{"Resources":{"cpu":{"CPUS":"3"}}}}`)).Request(shield.Key{ID: "x"}, "")
	if err != nil || request.RTPrio != 99 || request.CPUs != "3" {
		t.Errorf("got %+v, %v", request, err)
	}
}

func TestUnifiedCPUsCountAndAreCutToo(t *testing.T) {
	const text = `{"linux":{"resources":{"cpu":{"cpus":"0"},"unified":{"cpuset.cpus":"2-3","cpuset.mems":"1","pids.max":"9"}}}}`
	request, err := load(t, writeBundle(t, text)).Request(shield.Key{ID: "x"}, "")
	if err != nil || request.CPUs != "2-3" || request.Mems != "1" {
		t.Errorf("got %+v, %v", request, err)
	}
	for name, edit := range map[string]func(*Document) error{
		"cut":      func(d *Document) error { return d.Cut(testGrant(t, "2").CPUs, testHook) },
		"shielded": func(d *Document) error { return d.Shield(testGrant(t, "2"), nil, testHook) },
	} {
		document := load(t, writeBundle(t, text))
		if err := edit(document); err != nil {
			t.Fatal(err)
		}
		if got := string(document.Bytes()); strings.Contains(got, "cpuset.cpus") || !strings.Contains(got, `"cpus":"2"`) || !strings.Contains(got, `"pids.max":"9"`) {
			t.Errorf("%s it is %s", name, got)
		}
	}
}

// A journal is carried out by root: one that leads elsewhere, or never ends, is not ours.
func TestAJournalThatIsNoFileIsRefusedAndNothingWrittenThroughIt(t *testing.T) {
	for name, place := range map[string]func(path, victim string) error{
		"link":      func(path, victim string) error { return os.Symlink(victim, path) },
		"FIFO":      func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path, _ string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, victim := bundle(t, "testdata/runc-spec.json"), filepath.Join(t.TempDir(), "victim")
			if err := os.WriteFile(victim, []byte("[]"), 0o600); err != nil {
				t.Fatal(err)
			}
			early := load(t, dir) // which has seen none
			if err := early.Shield(testGrant(t, "1"), nil, testHook); err != nil {
				t.Fatal(err)
			}
			if err := place(filepath.Join(dir, "config.json.rtshield"), victim); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("read: %v", err)
			}
			if err := early.Save(); err == nil {
				t.Error("it was written to")
			}
			if text, err := os.ReadFile(victim); err != nil || string(text) != "[]" {
				t.Errorf("the file that it leads to has %q, %v", text, err)
			}
		})
	}
}

func TestAFileOfAHundredMegabytesIsRefusedUnread(t *testing.T) {
	dir := writeBundle(t, "{}")
	if err := os.Truncate(filepath.Join(dir, "config.json"), 100<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestEveryLimitOfAKindIsReplaced(t *testing.T) {
	document := load(t, writeBundle(t, `{"process":{"rlimits":[{"type":"RLIMIT_RTTIME","hard":1,"soft":1},{"type":"RLIMIT_CORE","hard":0,"soft":0},{"type":"RLIMIT_RTTIME","hard":9,"soft":9}]}}`))
	if err := document.Shield(testGrant(t, "1"), []Rlimit{{Type: "RLIMIT_RTTIME", Hard: 4, Soft: 2}}, testHook); err != nil {
		t.Fatal(err)
	}
	want := `[{"type":"RLIMIT_RTTIME","hard":4,"soft":2},{"type":"RLIMIT_CORE","hard":0,"soft":0},{"type":"RLIMIT_RTTIME","hard":4,"soft":2}]`
	if !strings.Contains(string(document.Bytes()), want) {
		t.Errorf("got %s", document.Bytes())
	}
}
