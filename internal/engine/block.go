package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// In a TOML file our sections stand together at the end, between these lines.
const (
	blockBegin = "# rtshield: written by `rtshield install`, goes with `rtshield uninstall`"
	blockEnd   = "# rtshield end"
)

// addBlock appends a block. What parts it from the text is one line break, also where the text does not end with one, so
// that dropBlock knows what was there.
func addBlock(text, block string) string {
	nl := newline(text)
	block = blockBegin + "\n" + block + blockEnd + "\n"
	if text != "" {
		block = "\n" + block
	}
	return text + strings.ReplaceAll(block, "\n", nl)
}

// findBlock says where the block begins and ends in a text.
func findBlock(text string) (begin, end int, found bool) {
	begin = strings.Index(text, blockBegin)
	if begin < 0 {
		return 0, 0, false
	}
	length := strings.Index(text[begin:], blockEnd)
	if length < 0 {
		return 0, 0, false
	}
	end = begin + length + len(blockEnd)
	if i := strings.IndexByte(text[end:], '\n'); i >= 0 {
		return begin, end + i + 1, true
	}
	return begin, len(text), true
}

// dropBlock takes the block out.
func dropBlock(text string) string {
	begin, end, found := findBlock(text)
	if !found {
		return text
	}
	before := text[:begin]
	if begin > 0 {
		before = strings.TrimSuffix(strings.TrimSuffix(before, "\n"), "\r")
		if end < len(text) && !strings.HasSuffix(before, "\n") { // somebody has added lines
			before = text[:begin]
		}
	}
	return before + text[end:]
}

// blocks is the format of TOML files. It is given where the runtimes stand in them.
type blocks struct {
	runtimes func(all map[string]any) map[string]string
}

func (b blocks) strip(text string, done *record) (string, error) {
	stripped := dropBlock(text)
	if strings.HasSuffix(done.File, templateSuffix) {
		return stripped, nil
	}
	table, err := parse(done.File, stripped)
	if err != nil {
		return "", err
	}
	left := b.runtimes(table)
	for _, r := range done.Runtimes {
		if left[r.Name] == r.Program {
			return "", fmt.Errorf("%s was written anew by something that has moved or lost the line %q", done.File, blockBegin)
		}
	}
	return stripped, nil
}

func (blocks) ours(text string, _ *record) string {
	begin, end, _ := findBlock(text)
	return text[begin:end]
}

func (blocks) bare(text string) bool { return strings.TrimSpace(text) == "" || text == baseTemplate }

// parse reads a TOML file. An error has the file and the line.
func parse(path, text string) (map[string]any, error) {
	table := map[string]any{}
	err := toml.Unmarshal([]byte(text), &table)
	if err == nil {
		return table, nil
	}
	// The decoder's words have keys as they stand in the file.
	words := strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(strings.TrimPrefix(err.Error(), "toml: "))
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		path = fmt.Sprintf("%s:%d", path, line)
	}
	return nil, fmt.Errorf("%s: %s", path, words)
}

// lookup goes down the tables; nil if there is none.
func lookup(table map[string]any, path ...string) map[string]any {
	for _, key := range path {
		table, _ = table[key].(map[string]any)
	}
	return table
}
