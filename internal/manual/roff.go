package manual

import (
	"fmt"
	"strings"
)

// Page is a man page, written in the macros of man(7).
type Page struct{ text strings.Builder }

// NewPage begins a page of a section. It has no date: the same program makes the same page.
func NewPage(name, section, version string) *Page {
	p := &Page{}
	p.macro("TH", strings.ToUpper(name), section, "", "rtshield "+version)
	p.line(".nh\n.ad l") // words can be searched for, and copied
	return p
}

// String is the page's text.
func (p *Page) String() string { return p.text.String() }

// Section begins a section, Sub a part of one, and Head a part of that.
func (p *Page) Section(title string) { p.macro("SH", title) }

// Sub begins a part of a section.
func (p *Page) Sub(title string) { p.macro("SS", title) }

// Head is a line in bold.
func (p *Page) Head(title string) {
	p.line(".PP")
	p.macro("B", title)
}

// Paragraph is a text that is filled.
func (p *Page) Paragraph(text string) {
	p.line(".PP")
	p.prose(text)
}

// Item explains a term.
func (p *Page) Item(term, text string) {
	p.line(".TP")
	p.macro("B", term)
	p.prose(text)
}

// More is a line of its own below what was said of an item.
func (p *Page) More(text string) {
	p.line(".br")
	p.prose(text)
}

// Verbatim shows lines as they are.
func (p *Page) Verbatim(text string) {
	p.line(".PP\n.RS 4\n.nf")
	p.prose(text)
	p.line(".fi\n.RE")
}

// Described shows a description as commands have it for --help: a line in capitals is a head, what stands to the right of a
// term explains it, lines that are further in go on with that, and all else is text.
func (p *Page) Described(text string) {
	var prose []string
	var term, explained string
	flush := func() {
		if len(prose) > 0 {
			p.Paragraph(strings.Join(prose, "\n"))
		}
		if term != "" {
			p.Item(term, explained)
		}
		prose, term, explained = nil, "", ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		inner := strings.TrimLeft(line, " ")
		switch in := len(line) - len(inner); {
		case inner == "":
			flush()
		case in == 0 && inner == strings.ToUpper(inner):
			flush()
			p.Head(inner)
		case in == 0:
			if term != "" {
				flush()
			}
			prose = append(prose, inner)
		case term != "" && in > 3:
			explained += "\n" + inner
		default:
			flush()
			term, explained, _ = strings.Cut(inner, "  ")
			explained = strings.TrimLeft(explained, " ")
		}
	}
	flush()
}

func (p *Page) line(text string) { p.text.WriteString(text + "\n") }

func (p *Page) macro(name string, arguments ...string) {
	p.text.WriteString("." + name)
	for _, argument := range arguments {
		fmt.Fprintf(&p.text, " \"%s\"", escape(argument))
	}
	p.text.WriteString("\n")
}

// prose writes lines of text. One that begins with a dot or a quote would be a command of roff's.
func (p *Page) prose(text string) {
	if text == "" {
		return
	}
	for _, line := range strings.Split(text, "\n") {
		if line = escape(line); strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		p.line(line)
	}
}

// escape keeps each letter what it is: roff makes hyphens of minus signs, and typographic quotes of those that shells know.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			out.WriteString(`\e`)
		case r == '-':
			out.WriteString(`\-`)
		case r == '\'':
			out.WriteString(`\(aq`)
		case r == '"':
			out.WriteString(`\(dq`)
		case r == '`':
			out.WriteString(`\(ga`)
		case r == '^':
			out.WriteString(`\(ha`)
		case r == '~':
			out.WriteString(`\(ti`)
		case r > '~':
			fmt.Fprintf(&out, `\[u%04X]`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
