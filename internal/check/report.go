package check

import (
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Mark says how fit the host is in one respect.
type Mark string

// The marks.
const (
	// Good: nothing to do.
	Good Mark = "good"
	// Limit: shielded containers run, and have less than another host, kernel or setting would give them.
	Limit Mark = "limit"
	// Fail: a container that asks for a shield is refused.
	Fail Mark = "fail"
	// Unknown: it could not be looked at, or tried.
	Unknown Mark = "unknown"
)

// Finding is what was found in one respect. Its JSON form is a public interface (schema.json).
type Finding struct {
	Group string `json:"group"`
	Name  string `json:"check"`
	Mark  Mark   `json:"mark"`
	// Looked names the files that were read, or what was tried.
	Looked []string `json:"looked"`
	Found  string   `json:"found"`
	// Why it matters, and what it costs where somebody has said so who knows.
	Why    string  `json:"why,omitempty"`
	Micros *Micros `json:"microseconds,omitempty"`
	// Do are the ways to a better one: commands, options of the policy file. Boot is what the kernel could be booted with.
	Do   []string `json:"do,omitempty"`
	Boot string   `json:"boot,omitempty"`
	// Fix is what --fix does.
	Fix string `json:"fix,omitempty"`

	fix func(host.Root) error
}

// Micros is a time in µs.
type Micros struct {
	Value float64 `json:"value"`
	What  string  `json:"what"`
	// Source is who says so.
	Source string `json:"source"`
}

// Report is what was found. Its JSON form is a public interface (schema.json).
type Report struct {
	Schema       int         `json:"schema"`
	Kernel       string      `json:"kernel"`
	System       string      `json:"system"`
	Housekeeping shield.CPUs `json:"housekeeping"`
	Pool         shield.CPUs `json:"pool"`
	// Class is that of the container that was thought of, Level what it would have with the host to itself, "" if it would be
	// refused; Weaker says why it is no stronger one.
	Class  string `json:"class"`
	Level  string `json:"level"`
	Weaker string `json:"weaker,omitempty"`
	// Tried: something was tried, and not only looked at.
	Tried    bool      `json:"tried"`
	Findings []Finding `json:"findings"`
	// Boot puts together what the findings would boot with.
	Boot *Boot `json:"boot,omitempty"`
	// Fixed is what --fix has done, or would do; Unfixed what it could not, and why.
	Fixed   []string     `json:"fixed,omitempty"`
	Unfixed []string     `json:"unfixed,omitempty"`
	Totals  map[Mark]int `json:"totals"`
}

// Boot is a change of the kernel's command line, and how this distribution makes it.
type Boot struct {
	Options string `json:"options"`
	Do      string `json:"do"`
}

// ExitStatus is 0 for a fit host, 1 for one that refuses shielded containers, 2 where that cannot be told.
func (r *Report) ExitStatus() int {
	switch {
	case r.Totals[Fail] > 0:
		return 1
	case r.Totals[Unknown] > 0:
		return 2
	}
	return 0
}

// one makes a list of a finding.
func one(finding Finding) []Finding { return []Finding{finding} }

// unread is a finding about what could not be read.
func unread(name string, looked []string, err error) []Finding {
	return one(Finding{Name: name, Mark: Unknown, Looked: looked, Found: "it could not be looked at: " + err.Error()})
}

func cpuText(cpus fmt.Stringer) string { return "CPU " + cpus.String() }

func joined(words []string) string { return strings.Join(words, ", ") }
