package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of `go test -json` (go doc test2json; ImportPath belongs to the
// build events that came with Go 1.24).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

type key struct{ pkg, test string }

type summary struct {
	w                       io.Writer
	passed, failed, skipped int
	output                  map[key][]string
	parents                 map[key]bool // tests that only hold subtests are not counted
	failedIn                map[string]bool
	skips, fails            []string
}

func newSummary(w io.Writer) *summary {
	return &summary{
		w:        w,
		output:   map[key][]string{},
		parents:  map[key]bool{},
		failedIn: map[string]bool{},
	}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				s.take(e)
			} else {
				fmt.Fprint(s.w, line) // go's own words, not a test's
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.w, e.Output)
	case "run":
		if i := strings.LastIndex(e.Test, "/"); i > 0 {
			s.parents[key{e.Package, e.Test[:i]}] = true
		}
	case "output":
		if _, progress, found := strings.Cut(e.Output, "progress: "); found {
			fmt.Fprint(s.w, progress) // of a test that takes minutes
			return
		}
		s.output[k] = append(s.output[k], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packageDone(e)
		} else {
			s.testDone(e.Action, k)
		}
		delete(s.output, k)
	}
}

func (s *summary) testDone(action string, k key) {
	switch action {
	case "fail":
		s.failedIn[k.pkg] = true
		fmt.Fprint(s.w, strings.Join(s.output[k], ""))
		if !s.parents[k] || !s.hasFailedChild(k) {
			s.failed++
			s.fails = append(s.fails, k.pkg+" "+k.test)
		}
	case "pass":
		if !s.parents[k] {
			s.passed++
		}
	case "skip":
		s.skipped++
		s.skips = append(s.skips, k.pkg+" "+k.test+reason(s.output[k]))
	}
}

func (s *summary) hasFailedChild(k key) bool {
	prefix := k.pkg + " " + k.test + "/"
	return slices.ContainsFunc(s.fails, func(f string) bool { return strings.HasPrefix(f, prefix) })
}

// reason is what the test said when it skipped itself: the line "file_test.go:7: why".
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if _, why, ok := strings.Cut(line, ".go:"); ok {
			_, why, _ = strings.Cut(why, ": ")
			return ": " + strings.TrimSpace(why)
		}
	}
	return ""
}

func (s *summary) packageDone(e event) {
	output := s.output[key{e.Package, ""}]
	switch {
	case e.Action == "fail" && !s.failedIn[e.Package]:
		// It did not build, timed out, or died outside of a test.
		fmt.Fprint(s.w, strings.Join(output, ""))
		s.failed++
		s.fails = append(s.fails, e.Package)
	case e.Action != "skip" && len(output) > 0:
		// The last line is go's "ok  package  1.2s"; "skip" is a package without tests.
		fmt.Fprint(s.w, output[len(output)-1])
	}
}

// commandFailed is for a go command that failed without naming a test.
func (s *summary) commandFailed(err error) {
	s.failed++
	s.fails = append(s.fails, err.Error())
}

func (s *summary) close() {
	for _, name := range s.skips {
		fmt.Fprintln(s.w, "skipped:", name)
	}
	for _, name := range s.fails {
		fmt.Fprintln(s.w, "failed:", name)
	}
	fmt.Fprintf(s.w, "rtshield: %d tests passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
}
