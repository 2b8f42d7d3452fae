package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/rtshield/rtshield/internal/shield"
)

// decodeError gives the decoder's errors the form file:line: what.
func decodeError(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		line, _ := first.Position()
		key := first.Key()
		return fmt.Errorf("%s:%d: unknown key %q: expected %s", path, line, strings.Join(key, "."), knownKeys(key))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		return fmt.Errorf("%s:%d: %s", path, line, oneLine.Replace(strings.TrimPrefix(wrong.Error(), "toml: ")))
	}
	return fmt.Errorf("%s: %s", path, oneLine.Replace(err.Error()))
}

// oneLine is for the decoder's words, which have keys as they stand in the file.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`)

// knownKeys names what could have stood where key stands.
func knownKeys(key []string) string {
	switch {
	case len(key) > 1 && key[0] == TableRuntime:
		return "one of " + keysOf(file{}.Runtime)
	case len(key) > 1 && key[0] == TableLayout:
		return "one of " + keysOf(file{}.Layout)
	case len(key) > 2 && key[0] == TableClass:
		return "one of " + keysOf(class{})
	}
	return "one of [runtime], [layout], [class.<name>]"
}

// keysOf lists the keys of a table.
func keysOf(table any) string {
	written := reflect.TypeOf(table)
	keys := make([]string, written.NumField())
	for i := range keys {
		keys[i] = written.Field(i).Tag.Get("toml")
	}
	return strings.Join(keys, ", ")
}

// locate gives a value that cannot be meant the line that it stands on: the decoder has forgotten it by then.
func locate(path string, data []byte, problem error, table []string) error {
	var wrong *shield.OptionError
	if errors.As(problem, &wrong) {
		if line := lineOf(data, append(slices.Clone(table), wrong.Option)); line > 0 {
			return fmt.Errorf("%s:%d: %w", path, line, problem)
		}
	}
	if len(table) == 0 {
		return fmt.Errorf("%s: %w", path, problem)
	}
	return fmt.Errorf("%s: [%s] %w", path, strings.Join(table, "."), problem)
}

// notBare: TOML wants quotes around keys that have it.
func notBare(r rune) bool { return !strings.ContainsRune(bare, r) }

const bare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

func lineOf(data []byte, wanted []string) int {
	parser := unstable.Parser{}
	parser.Reset(data)
	var table []string
	for parser.NextExpression() {
		expression := parser.Expression()
		var key []string
		for it := expression.Key(); it.Next(); {
			key = append(key, string(it.Node().Data))
		}
		switch expression.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = key
		case unstable.KeyValue:
			if full := append(slices.Clone(table), key...); slices.EqualFunc(full, wanted, strings.EqualFold) {
				return lineAt(data, parser, expression)
			}
		}
	}
	return 0
}

func lineAt(data []byte, parser unstable.Parser, expression *unstable.Node) int {
	for it := expression.Key(); it.Next(); {
		return parser.Shape(it.Node().Raw).Start.Line
	}
	return 0
}
