package vm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Column is what the VMs of one variant gave. One is enough for all tests, if it comes to its end and none of them fails.
type Column struct {
	Variant Variant
	Results []Result
	// Err says why the last VM did not come to its end.
	Err error
	// Again names the tests that failed, and held in another VM.
	Again []string
	// Early is how often the emulator crashed before its tests had ended.
	Early int

	// tries counts how often a test failed, but for crashes of the emulator.
	tries map[string]int
}

// Add takes what one VM gave: of a test that has run before, the newer results count. crashed: the emulator ended it, which
// is no failure of the test that ran just then.
func (c *Column) Add(results []Result, crashed bool) {
	if c.tries == nil {
		c.tries = map[string]int{}
	}
	for _, test := range tests([]Column{{Results: results}}) {
		newer := of(results, test)
		switch {
		case !anyFailed(newer):
			if c.tries[test] > 0 {
				c.Again = append(c.Again, test)
			}
		case !crashed || !slices.ContainsFunc(newer, func(result Result) bool { return result.Cut }):
			c.tries[test]++
		}
		at := slices.IndexFunc(c.Results, func(result Result) bool { return result.Test == test })
		if at < 0 {
			at = len(c.Results)
		}
		rest := slices.DeleteFunc(c.Results, func(result Result) bool { return result.Test == test })
		c.Results = slices.Insert(rest, at, newer...)
	}
}

// Ended names the tests that no further VM need run: those that did not fail, and those that failed twice. An emulated
// machine on a loaded host is slow in ways that no test foresees, so a test that fails gets another try, and the table says so.
func (c *Column) Ended() []string {
	return slices.DeleteFunc(tests([]Column{*c}), c.again)
}

// Unsure says whether a test waits for its second try.
func (c *Column) Unsure() bool {
	return slices.ContainsFunc(tests([]Column{*c}), c.again)
}

func (c *Column) again(test string) bool { return anyFailed(of(c.Results, test)) && c.tries[test] < 2 }

var severity = []Verdict{Held, Limit, NotSupported, Fail}

// cell sums up a test's subtests: the one verdict of all, or each that differs from the best by its name.
func cell(results []Result) string {
	if len(results) == 0 {
		return "-"
	}
	best := slices.MinFunc(results, func(a, b Result) int {
		return slices.Index(severity, a.Verdict) - slices.Index(severity, b.Verdict)
	}).Verdict
	text := string(best)
	for _, result := range results {
		if result.Verdict != best {
			text += fmt.Sprintf("; %s: %s", result.Sub, result.Verdict)
		}
	}
	return text
}

// Markdown is the table of all columns, then the reasons of what is not simply held.
func Markdown(columns []Column) string {
	rows := [][]string{{"what"}}
	for _, column := range columns {
		rows[0] = append(rows[0], column.Variant.Name)
	}
	for _, test := range tests(columns) {
		row := []string{sentence(test)}
		for _, column := range columns {
			row = append(row, cell(of(column.Results, test)))
		}
		rows = append(rows, row)
	}
	text := table(rows)
	if why := reasons(columns); why != "" {
		text += "\n" + why
	}
	return text
}

func tests(columns []Column) []string {
	var names []string
	for _, column := range columns {
		for _, result := range column.Results {
			if !slices.Contains(names, result.Test) {
				names = append(names, result.Test)
			}
		}
	}
	return names
}

func of(results []Result, test string) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(result Result) bool { return result.Test != test })
}

// word is a part of a test's name: what is written in capitals, or a capital and what follows in small letters.
var word = regexp.MustCompile(`CPUs|CPU|FIFO|RR|IRQs|NUMA|[A-Z][^A-Z]*`)

// sentence turns AFullShieldNamesItsHolders into "A full shield names its holders".
func sentence(name string) string {
	words := word.FindAllString(name, -1)
	for i, text := range words {
		if i > 0 && (len(text) == 1 || strings.ToUpper(text[:2]) != text[:2]) {
			words[i] = strings.ToLower(text)
		}
	}
	return strings.Join(words, " ")
}

func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	var text strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(&text, "| %-*s ", widths[i], cell)
		}
		text.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				text.WriteString("|" + strings.Repeat("-", width+2))
			}
			text.WriteString("|\n")
		}
	}
	return text.String()
}

// reasons lists each different reason once, with the kernels and delegates that gave it.
func reasons(columns []Column) string {
	var order []string
	who := map[string][]string{}
	note := func(line, where string) {
		if _, known := who[line]; !known {
			order = append(order, line)
		}
		if !slices.Contains(who[line], where) {
			who[line] = append(who[line], where)
		}
	}
	for _, column := range columns {
		if column.Err != nil {
			note(fmt.Sprintf("**%s** the VM: %v", Fail, column.Err), column.Variant.Name)
		}
		if column.Early > 0 {
			note(fmt.Sprintf("the emulator crashed, and another VM ran the rest: %d times", column.Early), column.Variant.Name)
		}
		for _, test := range column.Again {
			note(fmt.Sprintf("held in a second VM, after a failure in the first: %s", sentence(test)), column.Variant.Name)
		}
		for _, result := range column.Results {
			for _, reason := range result.Reasons {
				what := fmt.Sprintf("%s: %s: %s", result.Verdict, sentence(result.Test), reason)
				if result.Verdict == Fail && result.Sub != "" {
					what += " (" + result.Sub + ")"
				}
				note(what, column.Variant.Name)
			}
		}
	}
	var text strings.Builder
	for _, line := range order {
		fmt.Fprintf(&text, "- %s [%s]\n", line, strings.Join(who[line], ", "))
	}
	return text.String()
}
