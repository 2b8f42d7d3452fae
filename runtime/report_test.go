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

	"github.com/rtshield/rtshield/runtime/argv"
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
	inv := argv.Parse([]string{"rtshield", "--log", log, "--log-format", "json", "create", "web"})
	var stderr bytes.Buffer
	Report(inv, &stderr, errors.New("an older one"))
	stderr.Reset()
	Report(inv, &stderr, fmt.Errorf("container web: %w", errors.New("first\nsecond \"quoted\"\r\n\n")))

	want := `rtshield: container web: first; second "quoted"`
	if got := lastError(t, log); got != want {
		t.Errorf("log: %q, want %q", got, want)
	}
	if got := stderr.String(); got != want+"\n" {
		t.Errorf("stderr: %q", got)
	}
	content, _ := os.ReadFile(log)
	if n := strings.Count(string(content), "\n"); n != 2 {
		t.Errorf("log: %s", content)
	}
	if info, err := os.Stat(log); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode: %v %v", info.Mode(), err)
	}
}

func TestReportText(t *testing.T) {
	for _, format := range []string{"", "text"} {
		log := filepath.Join(t.TempDir(), "log")
		Report(argv.Invocation{Log: log, LogFormat: format}, io.Discard, errors.New("no free CPU"))
		got, err := os.ReadFile(log)
		if err != nil || !strings.HasPrefix(string(got), `time="20`) || !strings.HasSuffix(string(got), "\" level=error msg=\"rtshield: no free CPU\"\n") {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestReportWithoutLog(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, log := range []string{"", dir, dir + "/nosuch/log", "journald:web", "syslog:web"} {
		var stderr bytes.Buffer
		inv := argv.Invocation{Log: log, LogFormat: "json"}
		Report(inv, &stderr, errors.New("x"))
		if stderr.String() != "rtshield: x\n" {
			t.Errorf("log %q: stderr %q", log, stderr.String())
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	Report(argv.Invocation{Log: "file:" + dir + "/log", LogFormat: "json"}, io.Discard, errors.New("z"))
	if got := lastError(t, dir+"/log"); got != "rtshield: z" {
		t.Errorf("crun's file: scheme: %q", got)
	}
	var stderr bytes.Buffer
	Report(argv.Invocation{}, &stderr, nil)
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
