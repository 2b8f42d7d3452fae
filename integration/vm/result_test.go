package vm

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

const guestOutput = `=== guest begins
=== RUN   TestOneHolds
--- PASS: TestOneHolds (0.50s)
=== RUN   TestEachDelegateIsJudged
=== RUN   TestEachDelegateIsJudged/runc-1.5.2
    rig_test.go:61: $ rtshield run (1.2s)
    a_test.go:12: limit: this and that
--- PASS: TestEachDelegateIsJudged/runc-1.5.2 (1.00s)
=== RUN   TestEachDelegateIsJudged/crun-1.8.1
    a_test.go:14: wrong CPU
    rig_test.go:61: $ rtshield delete (1.2s)
--- FAIL: TestEachDelegateIsJudged/crun-1.8.1 (1.00s)
--- FAIL: TestEachDelegateIsJudged (2.00s)
=== RUN   TestAKernelLacksIt
    a_test.go:20: no such file
--- SKIP: TestAKernelLacksIt (0.00s)
=== RUN   TestOneKernelIsEnoughForIt
    a_test.go:20: elsewhere: it takes long
--- SKIP: TestOneKernelIsEnoughForIt (0.00s)
=== RUN   TestItHangs
`

func TestVerdictsComeWithTheirReasons(t *testing.T) {
	results, err := Convert(guestOutput + endMarker + "1\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, result := range results {
		got = append(got, result.Test+" "+result.Sub+" "+string(result.Verdict)+": "+strings.Join(result.Reasons, ", "))
	}
	want := []string{
		"OneHolds  held: ", "EachDelegateIsJudged runc-1.5.2 limit: this and that", "EachDelegateIsJudged crun-1.8.1 FAIL: wrong CPU",
		"AKernelLacksIt  not supported: no such file", "ItHangs  FAIL: it did not end",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	text := Markdown([]Column{{Variant: Variant{Name: "6.12"}, Results: results}})
	for _, part := range []string{"| Each delegate is judged | limit; crun-1.8.1: FAIL |", "| It hangs ", "- FAIL: Each delegate is judged: wrong CPU (crun-1.8.1) [6.12]"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestThePageIsOfOneRunAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/complete", []byte("linux-image-6.12.1-rt-amd64\nmodules: nvme\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	columns := []Column{{
		Variant: Variant{Series: "6.12", Name: "6.12 isolcpus", Boot: "isolcpus=4-7"},
		Results: []Result{{Test: "ItHolds", Sub: "crun-1.8.1", Verdict: Limit, Reasons: []string{"but for this"}}},
	}}
	page := Page(KernelsPage, columns, map[string]Kernel{"6.12": {"6.12", dir}})
	for _, part := range []string{
		"# What holds", "crun 1.8.1", "- *6.12 isolcpus* is linux-image-6.12.1-rt-amd64, booted with `isolcpus=4-7`", "| It holds | limit", "- limit: It holds: but for this [6.12 isolcpus]",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("no %q in\n%s", part, page)
		}
	}
	if page != Page(KernelsPage, columns, map[string]Kernel{"6.12": {"6.12", dir}}) {
		t.Error("two pages of one run differ")
	}
}

func TestAnOutputWithoutBeginningOrEndIsAnError(t *testing.T) {
	for _, output := range []string{"", "kernel panic", guestOutput, "=== guest begins\n" + endMarker + "0\n"} {
		if _, err := Convert(output); err == nil {
			t.Errorf("no error for %.40q", output)
		}
	}
}

func TestNamesBecomeSentences(t *testing.T) {
	for name, want := range map[string]string{
		"AShieldedContainerHasItsCPUsOnOneNode": "A shielded container has its CPUs on one node",
		"FIFOHoldsBeforeAndAfterExec":           "FIFO holds before and after exec",
		"RRAndBatchHold":                        "RR and batch hold",
	} {
		if got := sentence(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAnArchiveIsWhatTheKernelReads(t *testing.T) {
	var data bytes.Buffer
	a := newArchive(&data)
	a.file("/a/b/init", 0o755, []byte("hello"))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	text := data.String()
	// Directories first, each entry on a multiple of four.
	for i, name := range []string{"a\x00", "a/b\x00", "a/b/init\x00", "TRAILER!!!\x00"} {
		at := strings.Index(text, name)
		if at < 110 || text[at-110:at-104] != "070701" || (at-110)%4 != 0 {
			t.Fatalf("entry %d, %q, at %d", i, name, at)
		}
		text = strings.Repeat("#", at+len(name)) + text[at+len(name):]
	}
	if data.Len()%4 != 0 || !strings.Contains(data.String(), "hello\x00\x00\x00") {
		t.Error("padding")
	}
}

func TestLibrariesAreReadOutOfLdd(t *testing.T) {
	got := parseLdd("\tlinux-vdso.so.1 (0x00007fd2443e5000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fd2441d2000)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007fd2443e7000)\n")
	if !reflect.DeepEqual(got, []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}) {
		t.Errorf("%q", got)
	}
}

func TestWhatOneVMLeavesOpenAnotherRuns(t *testing.T) {
	column := Column{Variant: Variant{Name: "6.1"}}
	column.Add([]Result{
		{Test: "One", Verdict: Held}, {Test: "Two", Sub: "runc", Verdict: Fail}, {Test: "Two", Sub: "crun", Verdict: Held}, {Test: "Three", Verdict: Fail},
		{Test: "Four", Verdict: Fail, Cut: true},
	}, true)
	if got := column.Ended(); !column.Unsure() || !reflect.DeepEqual(got, []string{"One"}) {
		t.Errorf("after the first: %q", got)
	}
	column.Add([]Result{
		{Test: "Two", Sub: "runc", Verdict: Held}, {Test: "Two", Sub: "crun", Verdict: Held}, {Test: "Three", Verdict: Fail}, {Test: "Four", Verdict: Fail, Cut: true},
	}, false)
	// Three failed twice; the emulator's crash was none of Four.
	if got := column.Ended(); !column.Unsure() || !reflect.DeepEqual(got, []string{"One", "Two", "Three"}) {
		t.Errorf("after the second: %q", got)
	}
	column.Add([]Result{{Test: "Four", Verdict: Held}, {Test: "Five", Verdict: Held}}, false)
	var order []string
	for _, result := range column.Results {
		order = append(order, result.Test+result.Sub+" "+string(result.Verdict))
	}
	if want := []string{"One held", "Tworunc held", "Twocrun held", "Three FAIL", "Four held", "Five held"}; column.Unsure() || !reflect.DeepEqual(order, want) {
		t.Errorf("got  %q\nwant %q", order, want)
	}
	text := Markdown([]Column{column})
	for _, test := range []string{"Two", "Four"} {
		if !strings.Contains(text, "held in a second VM, after a failure in the first: "+test+" [6.1]") {
			t.Error(text)
		}
	}
}

func TestATimeLimitCutsTheTests(t *testing.T) {
	for end, want := range map[string]bool{"2\n": true, "1\n": false} {
		results, err := Convert(guestOutput + "panic: test timed out after 30m\n" + endMarker + end)
		if errors.Is(err, errCut) != want || len(results) != 5 || !results[4].Cut || results[2].Cut {
			t.Errorf("%q: %v, %+v", end, err, results)
		}
	}
	results, _ := Convert("=== guest begins\n=== RUN   TestEach\n=== RUN   TestEach/runc\n--- PASS: TestEach/runc (1.00s)\n=== NAME  TestEach\n")
	if len(results) != 2 || !results[0].Cut || results[1].Verdict != Held {
		t.Errorf("cut between two subtests: %+v", results)
	}
}
