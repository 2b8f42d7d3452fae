package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Verdict is what became of a feature on a kernel.
type Verdict string

// The verdicts, worst last.
const (
	Held Verdict = "held"
	// Limit: it works, and something that this kernel or this version cannot take away is named.
	Limit Verdict = "limit"
	// NotSupported: the kernel has not got it, and the test knows why.
	NotSupported Verdict = "not supported"
	Fail         Verdict = "FAIL"
)

// Result is one test on one kernel.
type Result struct {
	// Test is the Go name without "Test"; Sub the delegate, or "".
	Test, Sub string
	Verdict   Verdict
	// Reasons are the lines that the test gave for it.
	Reasons []string
	// Cut: the tests ended before this one did. Its verdict is Fail.
	Cut     bool
	Seconds float64
}

// Guests say why in lines of their own, through t.Log and t.Skip. Those with a dollar are commands that they ran.
var (
	limitLine = regexp.MustCompile(`^\s*\S+\.go:\d+: limit: (.*)`)
	logLine   = regexp.MustCompile(`^\s*\S+\.go:\d+: ([^$].*)`)
)

// event is a line of `go tool test2json`.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

const (
	beginMarker = "=== guest begins\n"
	endMarker   = "=== guest ends with status "
)

var (
	errNotBegun = errors.New("the tests did not begin")
	// errCut: some tests may not have run at all.
	errCut = errors.New("the tests did not end")
)

// Convert cuts the tests' output from between the markers and turns it into results. An output without its end is errCut,
// with the results so far; so is one that ends with a panic, such as that of the tests' own time limit.
func Convert(output string) ([]Result, error) {
	_, body, begun := strings.Cut(output, beginMarker)
	if !begun {
		return nil, errNotBegun
	}
	body, status, ended := strings.Cut(body, endMarker)
	cmd := exec.Command("go", "tool", "test2json")
	cmd.Stdin = strings.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	events, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool test2json: %w: %s", err, stderr.String())
	}
	results := collect(string(events))
	switch {
	case !ended:
		return results, errCut
	case len(results) == 0:
		return nil, fmt.Errorf("no test ran: %s", strings.TrimSpace(body))
	case strings.TrimSpace(status) == "0":
	case strings.TrimSpace(status) != "1": // go test gives 1 for tests that failed, 2 for a panic
		return results, fmt.Errorf("%w, their process did with status %s: %s", errCut, strings.TrimSpace(status), lastLines(body, 5))
	case !anyFailed(results):
		return results, fmt.Errorf("the tests ended with status 1: %s", lastLines(body, 5))
	}
	return results, nil
}

func anyFailed(results []Result) bool {
	for _, result := range results {
		if result.Verdict == Fail {
			return true
		}
	}
	return false
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func collect(events string) []Result {
	var results []Result
	output := map[string][]string{}
	var order []string
	ends := map[string]event{}
	for line := range strings.Lines(events) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil || e.Test == "" {
			continue
		}
		switch e.Action {
		case "run":
			order = append(order, e.Test)
		case "output":
			output[e.Test] = append(output[e.Test], strings.TrimRight(e.Output, "\n"))
		case "pass", "fail", "skip":
			ends[e.Test] = e
		}
	}
	for i, name := range order {
		if i+1 < len(order) && strings.HasPrefix(order[i+1], name+"/") {
			if end, ended := ends[name]; ended && end.Action != "fail" || anyBelow(order, ends, name) {
				continue // it only holds its subtests, and they say it all
			}
		}
		end, ended := ends[name]
		if !ended {
			end = event{Action: "fail"}
			output[name] = append(output[name], "x.go:0: it did not end")
		}
		result := judge(name, end, output[name])
		result.Cut = !ended
		if !slices.ContainsFunc(result.Reasons, isElsewhere) {
			results = append(results, result)
		}
	}
	return results
}

// isElsewhere: a test that says so in skipping itself has nothing to say about this kernel.
func isElsewhere(reason string) bool { return strings.HasPrefix(reason, "elsewhere: ") }

// anyBelow says whether a subtest failed or did not end.
func anyBelow(order []string, ends map[string]event, name string) bool {
	return slices.ContainsFunc(order, func(other string) bool {
		end, ended := ends[other]
		return strings.HasPrefix(other, name+"/") && (!ended || end.Action == "fail")
	})
}

func judge(name string, end event, output []string) Result {
	test, sub, _ := strings.Cut(strings.TrimPrefix(name, "Test"), "/")
	result := Result{Test: test, Sub: sub, Verdict: Held, Seconds: end.Elapsed}
	pattern := limitLine
	switch end.Action {
	case "fail":
		result.Verdict, pattern = Fail, logLine
	case "skip":
		result.Verdict, pattern = NotSupported, logLine
	}
	for _, line := range output {
		if match := pattern.FindStringSubmatch(line); match != nil {
			result.Reasons = append(result.Reasons, strings.TrimPrefix(match[1], "limit: "))
		}
	}
	if result.Verdict == Held && len(result.Reasons) > 0 {
		result.Verdict = Limit
	}
	return result
}
