package manual

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/shield"
)

// table reads the table of a document below its heads, without the marks of Markdown.
func table(t *testing.T, path, heads string) (rows [][]string) {
	t.Helper()
	data, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), heads+"\n")
	if !found {
		t.Fatalf("%s has no table %s", path, heads)
	}
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|-"):
			continue
		case !strings.HasPrefix(line, "|"):
			return rows
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, "`", ""), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// same compares what a document says with what the code does.
func same(t *testing.T, path string, got, want [][]string) {
	t.Helper()
	for i, row := range want {
		if i >= len(got) || !slices.Equal(got[i], row) {
			t.Errorf("%s lacks | %s |", path, strings.Join(row, " | "))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d rows, want %d", path, len(got), len(want))
	}
}

func TestTheREADMESaysOfAnnotationsWhatHelpSays(t *testing.T) {
	var want [][]string
	for _, a := range Annotations() {
		want = append(want, []string{shield.Domain + "/" + a.Key, a.Values, a.Default})
	}
	same(t, "README.md", table(t, "README.md", "| annotation | values | default |"), want)
}

func TestTheREADMESaysOfLevelsWhatHelpSays(t *testing.T) {
	var want [][]string
	for _, level := range Levels() {
		want = append(want, []string{level.Name, level.Where, level.How})
	}
	same(t, "README.md", table(t, "README.md", "| level | where | what keeps others away |"), want)
}

func TestTheDocumentOfClassesHasTheBuiltInOnes(t *testing.T) {
	names, rows := Classes(shield.BuiltinClasses())
	same(t, "docs/classes.md", table(t, "docs/classes.md", "| option | "+strings.Join(names, " | ")+" |"), rows)
}

func TestHelpTellsOfEveryAnnotationAndEachWordOfIt(t *testing.T) {
	told := map[string]Annotation{}
	for _, a := range Annotations() {
		if _, twice := told[a.Key]; twice || a.Values == "" || a.Default == "" {
			t.Errorf("%+v", a)
		}
		told[a.Key] = a
	}
	for _, key := range shield.Keys() {
		if _, known := told[key]; !known {
			t.Errorf("help does not tell of %s", key)
		}
		for _, word := range shield.Words(key) {
			if !strings.Contains(told[key].Values, word) {
				t.Errorf("help does not tell that %s may be %s", key, word)
			}
		}
	}
	if len(told) != len(shield.Keys()) {
		t.Errorf("help tells of %d annotations, there are %d", len(told), len(shield.Keys()))
	}
	for _, policy := range shield.Policies {
		if !strings.Contains(told[shield.KeyPolicy].Values, string(policy)) {
			t.Errorf("help does not tell of policy %s", policy)
		}
	}
	for name := range shield.BuiltinClasses() {
		if !strings.Contains(told[shield.KeyClass].Values, name) {
			t.Errorf("help does not tell of class %s", name)
		}
	}
}

func TestEveryLevelIsDescribed(t *testing.T) {
	levels := Levels()
	for i, level := range levels {
		if level.Where == "" || level.How == "" || level.Name != shield.Levels[len(shield.Levels)-1-i] {
			t.Errorf("%+v", level)
		}
	}
	if len(levels) != len(shield.Levels) {
		t.Errorf("%d levels are described, there are %d", len(levels), len(shield.Levels))
	}
}

func TestEachClassHasAColumnAndEachOptionARow(t *testing.T) {
	classes := shield.BuiltinClasses()
	motor := classes["rr"]
	motor.Name, motor.MaxCPUs = "motor", 2
	classes["motor"] = motor
	names, rows := Classes(classes)
	if !slices.Equal(names, []string{"fifo", "rr", "deadline", "batch", "motor"}) {
		t.Errorf("the classes are %q", names)
	}
	values := map[string][]string{}
	for _, row := range rows {
		if values[row[0]] = row[1:]; len(row) != 1+len(names) || !slices.Contains(config.Keys(), row[0]) {
			t.Errorf("%q", row)
		}
	}
	for key, want := range map[string][]string{
		"policy": {"fifo", "rr", "deadline", "batch", "rr"}, "max_cpus": {"4", "4", "4", "4", "2"}, "priority": {"50", "50", "", "", "50"},
		"deadline": {"", "", "500µs/1ms/1ms", "", ""}, "memlock": {"true", "true", "true", "false", "true"},
	} {
		if !slices.Equal(values[key], want) {
			t.Errorf("%s is %q, want %q", key, values[key], want)
		}
	}
	if _, told := values["near"]; told {
		t.Error("an option that no class uses has a row")
	}
}
