package manual

import "testing"

func TestRoffChangesNoLetter(t *testing.T) {
	p := &Page{}
	p.Paragraph(".hidden --json 'a' \\n `b` ^0 ~ µ\n\"q\"")
	want := ".PP\n\\&.hidden \\-\\-json \\(aqa\\(aq \\en \\(gab\\(ga \\(ha0 \\(ti \\[u00B5]\n\\(dqq\\(dq\n"
	if p.String() != want {
		t.Errorf("%q, want %q", p.String(), want)
	}
}

func TestADescriptionIsReadAsPeopleRead(t *testing.T) {
	p := &Page{}
	p.Described("Looks at\nall of it:\n\n   good  nothing to do\n   bad   something,\n         and more\n\nEXAMPLES\n   rtshield check\n   rtshield check --json    for scripts")
	want := ".PP\nLooks at\nall of it:\n.TP\n.B \"good\"\nnothing to do\n.TP\n.B \"bad\"\nsomething,\nand more\n.PP\n.B \"EXAMPLES\"\n" +
		".TP\n.B \"rtshield check\"\n.TP\n.B \"rtshield check \\-\\-json\"\nfor scripts\n"
	if p.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", p.String(), want)
	}
}
