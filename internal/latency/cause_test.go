package latency

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

func write(t *testing.T, dir, path, text string) {
	t.Helper()
	path = filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutTracerOrRtlaTheReportSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	missing := func() string {
		_, missing := findRtla(host.Root(dir))
		return missing
	}
	if got := missing(); !strings.Contains(got, "tracefs is not mounted") {
		t.Error(got)
	}
	write(t, dir, "sys/kernel/tracing/available_tracers", "function nop\n")
	if got := missing(); !strings.Contains(got, "CONFIG_TIMERLAT_TRACER") {
		t.Error(got)
	}
	write(t, dir, "sys/kernel/tracing/available_tracers", "timerlat osnoise nop\n")
	if got := missing(); !strings.Contains(got, "apt install rtla") {
		t.Error(got)
	}
	old := fakeRtla(t, "echo 'usage: rtla timerlat top [-a us]' >&2; exit 1")
	if got := missing(); !strings.Contains(got, "does not analyse") {
		t.Error(got)
	}
	_ = os.Remove(old)
	fakeRtla(t, "echo '--aa-only us, -k/--kernel-threads' >&2; exit 1")
	if tool, missing := findRtla(host.Root(dir)); missing != "" || !tool.kernel {
		t.Errorf("%+v, %s", tool, missing)
	}
}

// fakeRtla is a script in PATH.
func fakeRtla(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "rtla", "#!/bin/sh\n"+script+"\n")
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return filepath.Join(dir, "rtla")
}

// The form of Documentation/tools/rtla/rtla-timerlat-top.rst.
const rtlaSays = `                                     Timer Latency
rtla timerlat hit stop tracing
## CPU 23 hit stop tracing, analyzing it ##
  IRQ handler delay:		                	     27.49 us (65.52 %)
  IRQ latency:						     28.13 us
  Blocking thread:					      3.79 us (9.03 %)
			objtool:49256    		      3.79 us

  Thread latency:					     41.96 us (100%)
`

func TestWhatRtlaAnalysedIsPassedOn(t *testing.T) {
	path := fakeRtla(t, "cat <<'END'\n"+rtlaSays+"END\nexit 1")
	lines, err := rtla{path: path}.analyse(t.Context(), nil)
	if err != nil || len(lines) != 6 || !strings.HasPrefix(lines[0], "## CPU 23") || !strings.Contains(lines[4], "objtool:49256") {
		t.Errorf("%q, %v", lines, err)
	}
	path = fakeRtla(t, "echo 'could not enable tracer' >&2; exit 1")
	if lines, _ := (rtla{path: path}).analyse(t.Context(), nil); len(lines) != 1 || !strings.Contains(lines[0], "could not enable tracer") {
		t.Errorf("%q", lines)
	}
}

func TestRtlaMeasuresOnTheCPUsAndUnderThePriorityOfTheContainer(t *testing.T) {
	args := strings.Join(rtla{kernel: true}.arguments(cpuset.New(1), "fifo 50", 120, time.Millisecond, 9*time.Second), " ")
	want := "timerlat top --quiet --cpus 1 --period 1000 --duration 9s --aa-only 120 --priority f:50 --kernel-threads"
	if args != want {
		t.Errorf("got  %s\nwant %s", args, want)
	}
}
