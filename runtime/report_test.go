package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lastError reads a log as containerd's shim does (process/utils.go, getLastRuntimeError): every line must be
// JSON, the last error counts.
func lastError(t *testing.T, path string) (msg string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var entry struct {
			Level, Msg string
			Time       time.Time
		}
		switch err := dec.Decode(&entry); {
		case errors.Is(err, io.EOF):
			return msg
		case err != nil:
			t.Fatal(err)
		case entry.Time.IsZero():
			t.Errorf("no time in %+v", entry)
		}
		if entry.Level == "error" {
			msg = entry.Msg
		}
	}
}

func TestReportJSON(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log.json")
	inv := Parse([]string{"rtshield", "--log", log, "--log-format", "json", "create", "web"})
	var stderr bytes.Buffer
	inv.Report(&stderr, errors.New("an older one"))
	stderr.Reset()
	inv.Report(&stderr, fmt.Errorf("container web: %w", errors.New("first\nsecond \"quoted\"\r\n\n")))
	inv.Warn(errors.New("just so you know"))

	want := `rtshield: container web: first; second "quoted"`
	if got := lastError(t, log); got != want {
		t.Errorf("log: %q, want %q", got, want)
	}
	if got := stderr.String(); got != want+"\n" {
		t.Errorf("stderr: %q", got)
	}
	content, _ := os.ReadFile(log)
	if n := strings.Count(string(content), "\n"); n != 3 || !strings.Contains(string(content), `"level":"warning","msg":"rtshield: just so you know"`) {
		t.Errorf("log: %s", content)
	}
	if info, err := os.Stat(log); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode: %v %v", info.Mode(), err)
	}
}

func TestReportText(t *testing.T) {
	for _, format := range []string{"", "text"} {
		log := filepath.Join(t.TempDir(), "log")
		Invocation{Log: log, LogFormat: format}.Report(io.Discard, errors.New("no free CPU"))
		got, err := os.ReadFile(log)
		if err != nil || !strings.HasPrefix(string(got), `time="20`) || !strings.HasSuffix(string(got), "\" level=error msg=\"rtshield: no free CPU\"\n") {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestReportWithoutLog(t *testing.T) {
	dir := realDir(t)
	t.Chdir(dir)
	for _, log := range []string{"", dir, dir + "/nosuch/log", "journald:web", "syslog:web"} {
		var stderr bytes.Buffer
		inv := Invocation{Log: log, LogFormat: "json"}
		inv.Report(&stderr, errors.New("x"))
		inv.Warn(errors.New("y"))
		if stderr.String() != "rtshield: x\n" {
			t.Errorf("log %q: stderr %q", log, stderr.String())
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	Invocation{Log: "file:" + dir + "/log", LogFormat: "json"}.Report(io.Discard, errors.New("z"))
	if got := lastError(t, dir+"/log"); got != "rtshield: z" {
		t.Errorf("crun's file: scheme: %q", got)
	}
	var stderr bytes.Buffer
	Invocation{}.Report(&stderr, nil)
	Invocation{}.Warn(nil)
	if stderr.Len() != 0 {
		t.Errorf("said %q about no error", stderr.String())
	}
}

func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		"x":                     "rtshield: x",
		"rtshield: x":           "rtshield: x",
		"rtshield: rtshield: x": "rtshield: x",
		" a \n\n b\r\nc\n":      "rtshield: a; b; c",
		"":                      "rtshield: ",
	} {
		if got := message(errors.New(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	dir := realDir(t)
	tests := map[string]struct {
		script, stdout, stderr string
		exit                   int
	}{
		"usual":      {`echo "runc version 9"; echo "spec: 1"`, "runc version 9\nspec: 1\nrtshield version 1\n", "", 0},
		"no newline": {`printf "crun 1"`, "crun 1\nrtshield version 1\n", "", 0},
		"silent":     {``, "rtshield version 1\n", "", 0},
		"arguments":  {`echo "$0 $*"`, dir + "/arguments --debug -v\nrtshield version 1\n", "", 0},
		"failing":    {`echo no >&2; exit 3`, "rtshield version 1\n", "no\n", 3},
		"killed":     {`kill -9 $$`, "rtshield version 1\n", "", 1},
	}
	for name, tt := range tests {
		path := program(t, filepath.Join(dir, strings.ReplaceAll(name, " ", "")), tt.script)
		var stdout, stderr bytes.Buffer
		exit := version(&stdout, &stderr, path, []string{"rtshield", "--debug", "-v"}, "rtshield version 1")
		if exit != tt.exit || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", name, exit, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	exit := version(&stdout, &stderr, "/nosuch", nil, "rtshield version 1")
	if exit != 1 || stdout.String() != "rtshield version 1\n" || !strings.HasPrefix(stderr.String(), "rtshield: ask /nosuch for its version: ") {
		t.Errorf("no delegate: exit %d, stdout %q, stderr %q", exit, stdout.String(), stderr.String())
	}
}
