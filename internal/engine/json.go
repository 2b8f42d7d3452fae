package engine

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// member is one of a JSON object's: where its key begins, and where its value ends.
type member struct {
	key        string
	start, end int
}

// object finds an object in a valid text: where its braces are, and its members.
func object(text string, path []string) (begin, end int, members []member) {
	found := gjson.Parse(text)
	for _, name := range path {
		found.ForEach(func(key, value gjson.Result) bool {
			if key.Str == name {
				found = value
			}
			return key.Str != name
		})
	}
	found.ForEach(func(key, value gjson.Result) bool {
		members = append(members, member{key.Str, key.Index, value.Index + len(value.Raw)})
		return true
	})
	return found.Index, found.Index + len(strings.TrimSpace(found.Raw)) - 1, members
}

// addMember adds a member at the end of an object, in the way in which the others are written.
func addMember(text string, path []string, key, value string) string {
	begin, end, members := object(text, path)
	space := " "
	if strings.Contains(text, `":`) && !strings.Contains(text, `": `) {
		space = ""
	}
	written := strconv.Quote(key) + ":" + space + value
	if len(members) > 0 {
		last := members[len(members)-1]
		before := begin + 1
		if len(members) > 1 {
			before = members[len(members)-2].end
		}
		gap := text[before:last.start]
		if comma := strings.IndexByte(gap, ','); comma >= 0 {
			gap = gap[comma+1:]
		} else if !strings.Contains(gap, "\n") {
			gap = space // the only one, on the line of its object
		}
		return text[:last.end] + "," + lastLine(gap) + written + text[last.end:]
	}
	around, below := "", ""
	if unit := indentation(text); unit != "" || strings.TrimSpace(text) == "{}" {
		if unit == "" {
			unit = "    "
		}
		outer := newline(text) + strings.Repeat(unit, len(path))
		around, below = outer+unit, outer
	}
	return text[:begin+1] + around + written + below + text[end:]
}

// lastLine is the end of a gap between two members, without blank lines.
func lastLine(gap string) string {
	if i := strings.LastIndexByte(gap, '\n'); i > 0 && gap[i-1] == '\r' {
		return gap[i-1:]
	} else if i >= 0 {
		return gap[i:]
	}
	return gap
}

// indentation is what the members of the whole are indented by, "" where they do not stand on lines of their own.
func indentation(text string) string {
	begin, _, members := object(text, nil)
	if len(members) == 0 {
		return ""
	}
	gap := text[begin+1 : members[0].start]
	if i := strings.LastIndexByte(gap, '\n'); i >= 0 {
		return gap[i+1:]
	}
	return ""
}

// dropMember takes a member out with the comma that it needed. What stood around an only one goes too.
func dropMember(text string, path []string, key string) string {
	begin, end, members := object(text, path)
	for i, m := range members {
		switch {
		case m.key != key:
		case len(members) == 1:
			return text[:begin+1] + text[end:]
		case i == 0:
			return text[:m.start] + text[members[1].start:]
		default:
			return text[:members[i-1].end] + text[m.end:]
		}
	}
	return text
}
