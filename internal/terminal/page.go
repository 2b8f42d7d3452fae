// Package terminal fits what is printed to where it goes: the width and the colours of a terminal, or a file or pipe.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxWidth is what every table fits, also where no terminal says how wide it is.
const MaxWidth = 100

// minWidth is as narrow as tables are made.
const minWidth = 60

// Page is where something is printed.
type Page struct {
	io.Writer
	// Width is what every line of a table fits.
	Width int
	// Colour: styles are shown. Wrap: long sentences are broken; in a file or pipe they stay whole, for grep.
	Colour, Wrap bool
}

// To looks where w leads.
func To(w io.Writer) Page {
	if page, is := w.(Page); is {
		return page
	}
	page := Page{Writer: w, Width: MaxWidth}
	file, isFile := w.(*os.File)
	if !isFile || !Is(file) {
		return page
	}
	page.Wrap = true
	if columns, _, known := Size(file); known {
		page.Width = min(max(columns, minWidth), MaxWidth)
	}
	// https://no-color.org: whatever it is set to.
	page.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return page
}

// Is says whether a file is a terminal.
func Is(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// Size gives a terminal's columns and lines. A serial line does not know them.
func Size(file *os.File) (columns, lines int, known bool) {
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

// Style is a way to show a text, as SGR parameters (ECMA-48). Empty: as it is.
type Style string

// The styles that mean something. Who is meant by one of Hues only the text tells.
const (
	Plain  Style = ""
	Faint  Style = "2"
	Bold   Style = "1"
	Good   Style = "32"
	Warn   Style = "1;33"
	Bad    Style = "31"
	Stress Style = "7"
)

// Hues tell neighbours from each other.
var Hues = []Style{"36", "35", "33", "34", "96", "95", "93", "94"}

// With adds one style to another.
func (s Style) With(more Style) Style { return Style(strings.Trim(string(s)+";"+string(more), ";")) }

// Paint shows a text in a style, where the page has colours.
func (p Page) Paint(style Style, text string) string {
	if !p.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Say prints a sentence behind a head. On a terminal what is too long goes below it.
func (p Page) Say(head, text string) {
	if !p.Wrap {
		fmt.Fprintln(p, head+text)
		return
	}
	p.Fill(head, text)
}

// Fill is Say that breaks lines wherever it prints to.
func (p Page) Fill(head, text string) {
	indent := strings.Repeat(" ", Columns(head))
	for _, line := range Break(text, p.Width-len(indent)) {
		fmt.Fprintln(p, head+line)
		head = indent
	}
}
