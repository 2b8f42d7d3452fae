package terminal

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/terminal/pty"
)

func TestATerminalHasColoursAndAWidthAndAPipeHasNeither(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	wide := pty.Open(t, 200)
	narrow := pty.Open(t, 72)
	tiny := pty.Open(t, 20)
	serial := pty.Open(t, 0)
	for _, c := range []struct {
		name         string
		file         *os.File
		env          []string
		width        int
		colour, wrap bool
	}{
		{"a file", file, nil, 100, false, false},
		{"a wide terminal", wide.File, nil, 100, true, true},
		{"a narrow one", narrow.File, nil, 72, true, true},
		{"one too narrow for any table", tiny.File, nil, 60, true, true},
		{"one that does not tell its size", serial.File, nil, 100, true, true},
		{"NO_COLOR", narrow.File, []string{"NO_COLOR", "1"}, 72, false, true},
		{"a terminal without colours", narrow.File, []string{"TERM", "dumb"}, 72, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			if c.env != nil {
				t.Setenv(c.env[0], c.env[1])
			}
			page := To(c.file)
			if page.Width != c.width || page.Colour != c.colour || page.Wrap != c.wrap {
				t.Errorf("width %d, colours %v, wrap %v", page.Width, page.Colour, page.Wrap)
			}
			if again := To(page); again != page {
				t.Errorf("a page of a page is %+v", again)
			}
		})
	}
}

func TestLongTextIsBrokenAtBlanksElseBehindCommas(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       {""},
		"one two three":          {"one two", "three"},
		"0,2,4,6,8,10,12":        {"0,2,4,6,8,", "10,12"},
		"CPU 0,2,4,6,8,10,12 so": {"CPU", "0,2,4,6,8,", "10,12 so"},
		"/sys/fs/cgroup":         {"/sys/fs/cg", "roup"},
		"µµµµµ µµµµ":             {"µµµµµ µµµµ"},
	} {
		if got := Break(text, 10); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestShortenedTextKeepsWhatTellsItFromOthers(t *testing.T) {
	for width, want := range map[int]string{20: "plc-controller-07", 17: "plc-controller-07", 12: "plc-cont…-07", 5: "plc…7", 3: "pl…", 0: ""} {
		if got := Middle("plc-controller-07", width); got != want || Columns(got) > width {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
	for width, want := range map[int]string{11: "0-3,12,14-2", 10: "0-3,12,…", 6: "0-3,…", 3: "0-…"} {
		if got := End("0-3,12,14-2", width); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

func TestAStyleTakesNoColumn(t *testing.T) {
	page := Page{Width: 20, Colour: true}
	for _, text := range []string{"", "µs", "web"} {
		if painted := page.Paint(Bold, text); Columns(painted) != Columns(text) || Columns(painted+painted) != 2*Columns(text) {
			t.Errorf("%q is %d columns wide", painted, Columns(painted))
		}
	}
	var out strings.Builder
	page.Writer = &out
	page.Fill(page.Paint(Bold, "smt  "), "isolate, require, prefer")
	if out.String() != "\x1b[1msmt  \x1b[0misolate,\n     require, prefer\n" {
		t.Errorf("%q", out.String())
	}
}

func TestATableShortensAndLeavesOutUntilItFits(t *testing.T) {
	columns := []Column{
		{Head: "NAME", Shorten: Middle, Least: 6}, {Head: "EMPTY"}, {Head: "N", Right: true}, {Head: "LEVEL", Spare: 1}, {Head: "PID", Right: true, Spare: 2},
	}
	rows := [][]Cell{
		{{Text: "controller-07"}, {}, {Text: "5"}, {Text: "cpuset"}, {Text: "4711"}},
		{{Text: "web"}, {}, {Text: "12"}, {Text: ""}, {Text: "7"}},
	}
	for width, want := range map[int]string{
		40: "NAME            N  LEVEL    PID\ncontroller-07   5  cpuset  4711\nweb            12             7\n",
		25: "NAME      N  LEVEL    PID\ncont…07   5  cpuset  4711\nweb      12             7\n",
		20: "NAME       N  LEVEL\ncontr…07   5  cpuset\nweb       12\n",
		12: "NAME       N\ncontr…07   5\nweb       12\n",
	} {
		var out strings.Builder
		Page{Writer: &out, Width: width}.Table(columns, rows)
		if out.String() != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", width, out.String(), want)
		}
	}
	var out strings.Builder
	Page{Writer: &out, Width: 40}.Table(make([]Column, 2), [][]Cell{{{Text: "a"}, {Text: "b"}}})
	if out.String() != "a  b\n" {
		t.Errorf("without heads: %q", out.String())
	}
}

func TestASentenceIsBrokenOnATerminalOnly(t *testing.T) {
	for wrap, want := range map[bool]string{false: "  irq 5 stays where it is\n", true: "  irq 5 stays\n  where it is\n"} {
		var out strings.Builder
		Page{Writer: &out, Width: 14, Wrap: wrap}.Say("  ", "irq 5 stays where it is")
		if out.String() != want {
			t.Errorf("wrap %v: %q, want %q", wrap, out.String(), want)
		}
	}
}
