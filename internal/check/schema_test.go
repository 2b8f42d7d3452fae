package check

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// valid fails unless a report is what its schema says.
func valid(t *testing.T, report *Report) {
	t.Helper()
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range invalid(t, text) {
		t.Error(problem)
	}
}

// invalid holds a text against the schema: what that uses of the language, and no more.
func invalid(t *testing.T, text []byte) []string {
	t.Helper()
	var schema map[string]any
	var value any
	for data, into := range map[string]any{Schema: &schema, string(text): &value} {
		if err := json.Unmarshal([]byte(data), into); err != nil {
			t.Fatal(err)
		}
	}
	return schemaOf{schema}.check("report", schema, value)
}

type schemaOf struct{ all map[string]any }

// words are those of the language that check knows, and those that say nothing about a value.
var words = []string{
	"type", "required", "properties", "additionalProperties", "items", "enum", "const", "pattern", "$ref", "$schema", "$defs", "title", "description",
}

func (s schemaOf) check(at string, schema map[string]any, value any) (problems []string) {
	for word := range schema {
		if !slices.Contains(words, word) {
			problems = append(problems, fmt.Sprintf("%s: the test does not know %q of the schema", at, word))
		}
	}
	if ref, is := schema["$ref"].(string); is {
		name := strings.TrimPrefix(ref, "#/$defs/")
		return s.check(at, s.all["$defs"].(map[string]any)[name].(map[string]any), value)
	}
	if allowed, is := schema["enum"].([]any); is && !slices.Contains(allowed, value) {
		problems = append(problems, fmt.Sprintf("%s: %v is none of %v", at, value, allowed))
	}
	if only, is := schema["const"]; is && only != value {
		problems = append(problems, fmt.Sprintf("%s: %v is not %v", at, value, only))
	}
	kinds := map[string]bool{"": true}
	switch value := value.(type) {
	case string:
		kinds["string"] = true
		if pattern, is := schema["pattern"].(string); is && !regexp.MustCompile(pattern).MatchString(value) {
			problems = append(problems, fmt.Sprintf("%s: %q is not like %s", at, value, pattern))
		}
	case bool:
		kinds["boolean"] = true
	case float64:
		kinds["number"], kinds["integer"] = true, value == float64(int64(value))
	case []any:
		kinds["array"] = true
		for i, item := range value {
			problems = append(problems, s.check(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), item)...)
		}
	case map[string]any:
		kinds["object"] = true
		known, _ := schema["properties"].(map[string]any)
		for name, member := range value {
			if of, is := known[name].(map[string]any); is {
				problems = append(problems, s.check(at+"."+name, of, member)...)
			} else if schema["additionalProperties"] == false {
				problems = append(problems, fmt.Sprintf("%s: %s is not in the schema", at, name))
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, there := value[name.(string)]; !there {
				problems = append(problems, fmt.Sprintf("%s: no %s", at, name))
			}
		}
	}
	if kind, _ := schema["type"].(string); !kinds[kind] {
		problems = append(problems, fmt.Sprintf("%s: %v is no %s", at, value, kind))
	}
	return problems
}

func TestTheSchemaFindsWhatIsNotOfIt(t *testing.T) {
	text, err := json.Marshal(look(t, jobOn(t, fit)))
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		`"schema":1`: `"schema":2`, `"level":"partition"`: `"level":"strong"`, `"mark":"good"`: `"mark":"fine"`, `"pool":"1-3"`: `"pool":"1-"`,
		`"tried":true`: `"tried":"yes"`, `"kernel":`: `"kernels":`, `"group":"CPUs"`: `"group":7`, `"looked":[`: `"looked":[1,`,
	} {
		if changed := strings.Replace(string(text), was, is, 1); changed == string(text) || len(invalid(t, []byte(changed))) == 0 {
			t.Errorf("%s in place of %s is taken", is, was)
		}
	}
}

// What this host is like, nobody knows: but that it can be told in the words of the schema.
func TestTheReportOfThisHostIsOfItsSchema(t *testing.T) {
	report, err := Job{Root: host.System, Policy: config.Default(), Store: shield.Store{Dir: t.TempDir(), BootID: "x"}}.Look()
	if err != nil {
		t.Fatal(err)
	}
	valid(t, report)
	if report.Tried || report.Kernel == "" || len(report.Findings) < 15 {
		t.Errorf("%+v", report)
	}
}
