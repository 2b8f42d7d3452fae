package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsOfStatusThatDoNotGoTogetherAreRefused(t *testing.T) {
	for args, words := range map[string]string{
		"--watch --json":                  "--watch and --json do not go together",
		"--watch --prometheus":            "--watch and --prometheus do not",
		"--watch --output x":              "--watch and --output do not",
		"--watch --sample 1s":             "--watch and --sample do not",
		"--json --prometheus":             "--json and --prometheus do not",
		"--interval 1s":                   "--interval is for --watch",
		"--watch --interval 1ms":          "100ms to 1h",
		"--watch --interval 2h":           "100ms to 1h",
		"--watch":                         "the output is none",
		"--sample 2h":                     "up to 1h",
		"web":                             `takes no argument, got "web"`,
		"--prometheus --output /dev/null": "no regular file",
	} {
		app := administrator()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		err := app.Run(append([]string{"rtshield", "status"}, strings.Fields(args)...))
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("status %s: %v, want %q", args, err, words)
		}
	}
}

func TestAnOutputFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rtshield.prom")
	write := func(text string, err error) error {
		return replaceFile(file, func(w io.Writer) error { _, _ = io.WriteString(w, text); return err })
	}
	read := func() string { data, _ := os.ReadFile(file); return string(data) }
	if err := write("one\n", nil); err != nil || read() != "one\n" {
		t.Fatalf("%v: %q", err, read())
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v %v: the node exporter could not read it", info.Mode(), err)
	}
	broken := errors.New("no ledger")
	if err := write("half", broken); !errors.Is(err, broken) || read() != "one\n" {
		t.Errorf("%v, and the file has %q", err, read())
	}
	old, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := write("two\n", nil); err != nil || read() != "two\n" {
		t.Errorf("%v: %q", err, read())
	}
	if data, _ := io.ReadAll(old); string(data) != "one\n" {
		t.Errorf("who was reading sees %q", data)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
	for _, odd := range []string{"/dev/null", dir, filepath.Join(dir, "no", "such")} {
		file = odd
		if err := write("", nil); err == nil || !strings.Contains(err.Error(), "--output") {
			t.Errorf("%s: %v", odd, err)
		}
	}
}

func TestTheUnitForMetricsCallsACommandThatThereIs(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/observe/rtshield-metrics.service")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(unit), "\nExecStart=rtshield ")
	line, _, _ = strings.Cut(line, "\n")
	line = strings.ReplaceAll(line, "${TEXTFILES}", filepath.Join(t.TempDir(), "no", "such"))
	app := administrator()
	app.Writer, app.ErrWriter = io.Discard, io.Discard
	t.Setenv("RTSHIELD_CONFIG", filepath.Join(t.TempDir(), "none"))
	if err := app.Run(append([]string{"rtshield"}, strings.Fields(line)...)); err == nil || strings.Contains(err.Error(), "flag") || !strings.HasPrefix(line, "status --prometheus ") {
		t.Errorf("%q: %v", line, err)
	}
}
