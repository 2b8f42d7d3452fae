package engine

import (
	"fmt"
	"strings"
)

// around is how many unchanged lines are shown on both sides of a change.
const around = 3

// diff is a unified diff with one hunk: an edit of ours is in one place.
func diff(path string, was, now file) string {
	old, fresh := lines(was.text), lines(now.text)
	head := 0
	for head < min(len(old), len(fresh)) && old[head] == fresh[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(fresh))-head && old[len(old)-1-tail] == fresh[len(fresh)-1-tail] {
		tail++
	}
	from, before := max(0, head-around), min(tail, around)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n@@ -%s +%s @@\n", label(path, was), label(path, now),
		span(from, len(old)-tail+before), span(from, len(fresh)-tail+before))
	write := func(mark string, lines []string) {
		for _, line := range lines {
			text, ended := strings.CutSuffix(line, "\n")
			out.WriteString(mark + text + "\n")
			if !ended {
				out.WriteString("\\ No newline at end of file\n")
			}
		}
	}
	write(" ", old[from:head])
	write("-", old[head:len(old)-tail])
	write("+", fresh[head:len(fresh)-tail])
	write(" ", old[len(old)-tail:len(old)-tail+before])
	return out.String()
}

func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	return all[:len(all)-btoi(all[len(all)-1] == "")]
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func label(path string, f file) string {
	if !f.exists {
		return "/dev/null"
	}
	return path
}

// span is the place of lines [from, to) in a hunk's head. An empty one names the line before it.
func span(from, to int) string {
	return fmt.Sprintf("%d,%d", from+btoi(to > from), to-from)
}
