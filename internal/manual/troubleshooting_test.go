package manual

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// literals are the strings of the program's sources.
func literals(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, room := range []string{"cmd/rtshield", "runtime", "hooks", "spec", "internal"} {
		err := filepath.WalkDir("../../"+room, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if literal, is := node.(*ast.BasicLit); is && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						all.WriteString(strings.ReplaceAll(text, "%%", "%") + "\n")
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// unsaid gives those fixed parts of a quoted line that no source has.
func unsaid(sources, line string) (parts []string) {
	for part := range strings.SplitSeq(line, "…") {
		if part = strings.TrimSpace(part); !strings.Contains(sources, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// Each line under "rtshield says" is one of the program's, as far as it is fixed.
func TestThePageOfTroubleQuotesWhatTheProgramSays(t *testing.T) {
	const path = "../../docs/troubleshooting.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sources := literals(t)
	if missing := unsaid(sources, "asks for … of class …, and nobody ever said this"); !slices.Equal(missing, []string{", and nobody ever said this"}) {
		t.Fatalf("what nobody says is %q", missing)
	}
	code := regexp.MustCompile("`([^`]+)`")
	quoted, inside := 0, false
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			inside = false
		case strings.TrimSpace(cells[1]) == "rtshield says":
			inside = true
		case inside && !strings.HasPrefix(line, "|---"):
			if len(cells) != 5 || strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[3]) == "" {
				t.Errorf("%s:%d has not what it says, what that means and what to do", path, i+1)
			}
			found := code.FindAllStringSubmatch(cells[1], -1)
			if len(found) == 0 {
				t.Errorf("%s:%d quotes nothing", path, i+1)
			}
			for _, match := range found {
				quoted++
				for _, part := range unsaid(sources, match[1]) {
					t.Errorf("%s:%d: no source says %q", path, i+1, part)
				}
				if longest := slices.MaxFunc(strings.Split(match[1], "…"), func(a, b string) int { return len(a) - len(b) }); len(longest) < 8 {
					t.Errorf("%s:%d: %q could be anything", path, i+1, match[1])
				}
			}
		}
	}
	if quoted < 60 {
		t.Errorf("only %d lines are quoted", quoted)
	}
}
