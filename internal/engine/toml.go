package engine

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// bare says whether a key needs no quotes.
func bare(key string) bool {
	return key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// header is the line that begins a table.
func header(path []string) string {
	keys := make([]string, len(path))
	for i, key := range path {
		if keys[i] = key; !bare(key) {
			keys[i] = literal(key)
		}
	}
	return "[" + strings.Join(keys, ".") + "]"
}

// section writes a table and those below it, in the order of their keys.
func section(out *strings.Builder, path []string, table map[string]any) {
	var below []string
	var values strings.Builder
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if _, isTable := table[key].(map[string]any); isTable {
			below = append(below, key)
			continue
		}
		values.WriteString("  " + line(key, table[key]))
	}
	if values.Len() > 0 || len(below) == 0 {
		out.WriteString(header(path) + "\n" + values.String())
	}
	for _, key := range below {
		section(out, append(slices.Clone(path), key), table[key].(map[string]any))
	}
}

// line is a key with its value, on one line.
func line(key string, value any) string {
	if text, isText := value.(string); isText && bare(key) {
		return key + " = " + literal(text) + "\n"
	}
	var out bytes.Buffer
	encoder := toml.NewEncoder(&out).SetTablesInline(true)
	if err := encoder.Encode(map[string]any{key: value}); err != nil { // values come from a TOML file
		panic(err)
	}
	return out.String()
}

// literal writes a string as it is where it can be.
func literal(text string) string {
	out, _ := toml.Marshal(map[string]string{"k": text})
	return strings.TrimSpace(strings.TrimPrefix(string(out), "k = "))
}
