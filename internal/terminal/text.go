package terminal

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Columns is how wide a text is, styles aside. Every letter is taken for one column: names of containers and of the kernel's
// objects are of such.
func Columns(text string) (columns int) {
	for painted := true; painted; {
		var before string
		before, text, painted = strings.Cut(text, "\x1b[")
		columns += utf8.RuneCountInString(before)
		_, text, _ = strings.Cut(text, "m")
	}
	return columns
}

// Break breaks a text at blanks, and a word that is longer than a line behind its commas, or else anywhere: a list of CPUs, a
// cgroup's path.
func Break(text string, width int) []string {
	width = max(width, 1)
	var lines []string
	line := []rune{}
	for _, word := range strings.Fields(text) {
		letters := []rune(word)
		if len(line) > 0 && len(line)+1+len(letters) <= width {
			line = append(append(line, ' '), letters...)
			continue
		}
		if len(line) > 0 {
			lines = append(lines, string(line))
		}
		for len(letters) > width {
			at := width
			if comma := lastComma(letters[:width]); comma > 0 {
				at = comma + 1
			}
			lines, letters = append(lines, string(letters[:at])), letters[at:]
		}
		line = slices.Clone(letters)
	}
	return append(lines, string(line))
}

func lastComma(letters []rune) int {
	for i, letter := range slices.Backward(letters) {
		if letter == ',' {
			return i
		}
	}
	return -1
}

const ellipsis = "…"

// Middle shortens a name in its middle: its beginning tells what it is, and its end which.
func Middle(name string, width int) string {
	letters := []rune(name)
	switch {
	case len(letters) <= width:
		return name
	case width < 4:
		return End(name, width)
	}
	tail := (width - 1) / 3
	return string(letters[:width-1-tail]) + ellipsis + string(letters[len(letters)-tail:])
}

// End shortens a text at its end, a list behind a comma.
func End(text string, width int) string {
	letters := []rune(text)
	switch {
	case len(letters) <= width:
		return text
	case width < 1:
		return ""
	}
	cut := letters[:width-1]
	if comma := lastComma(cut); comma > 0 {
		cut = cut[:comma+1]
	}
	return string(cut) + ellipsis
}
