package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// bom may stand before the text; dockerd skips it from 23 on.
const bom = "\ufeff"

// docker is dockerd's daemon.json. There is no directory for drop-ins.
type docker struct {
	path, text string
}

func newDocker(files *tree, config string) (editor, error) {
	text, _, err := files.read(config)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(strings.TrimPrefix(text, bom)) == "" {
		return docker{config, text}, nil
	}
	return docker{config, text}, checkDocker(config, text)
}

// checkDocker refuses what dockerd would not read, or not as we do.
func checkDocker(path, text string) error {
	var top map[string]json.RawMessage
	body := strings.TrimPrefix(text, bom)
	if err := json.Unmarshal([]byte(body), &top); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + strings.Count(body[:syntax.Offset], "\n")
			return fmt.Errorf("%s:%d: not JSON, and dockerd would not start with it: %w", path, line, err)
		}
		return fmt.Errorf("%s is not a JSON object, and dockerd would not start with it", path)
	}
	if top == nil { // which dockerd reads as no configuration
		return fmt.Errorf("%s is null, in which nothing can be written: write {} instead", path)
	}
	found := 0
	gjson.Parse(body).ForEach(func(key, _ gjson.Result) bool {
		found += btoi(key.Str == "runtimes")
		return true
	})
	if found > 1 {
		return fmt.Errorf("%s has \"runtimes\" %d times, of which dockerd reads the last: put them together", path, found)
	}
	if found == 1 && !gjson.Get(body, "runtimes").IsObject() {
		return fmt.Errorf("%s: \"runtimes\" is not an object: remove it", path)
	}
	return nil
}

func (d docker) known() map[string]string {
	known := map[string]string{"runc": "runc"} // dockerd's own, which nobody may redefine
	gjson.Get(strings.TrimPrefix(d.text, bom), "runtimes").ForEach(func(name, entry gjson.Result) bool {
		known[name.Str] = entry.Get("path").Str
		return true
	})
	return known
}

func (d docker) insert(runtimes []Runtime) (edit, error) {
	text := d.text
	if strings.TrimSpace(strings.TrimPrefix(text, bom)) == "" {
		text = "{}\n"
	}
	prefix := text[:len(text)-len(strings.TrimPrefix(text, bom))]
	body := text[len(prefix):]
	there := gjson.Get(body, "runtimes")
	was := there.Raw
	if len(there.Map()) > 0 {
		was = "{}"
	}
	if was == "" {
		body = addMember(body, nil, "runtimes", "{}")
	}
	for _, r := range runtimes {
		program, err := json.Marshal(r.Program)
		if err != nil {
			return edit{}, err
		}
		body = addMember(body, []string{"runtimes"}, r.Name, "{}")
		body = addMember(body, []string{"runtimes", r.Name}, "path", string(program))
	}
	return edit{path: d.path, text: prefix + body, was: was}, checkDocker(d.path, prefix+body)
}

func (docker) strip(text string, done *record) (string, error) {
	if strings.TrimSpace(text) == "" {
		return text, nil
	}
	if err := checkDocker(done.File, text); err != nil {
		return "", err
	}
	prefix := text[:len(text)-len(strings.TrimPrefix(text, bom))]
	body := text[len(prefix):]
	for _, r := range done.Runtimes {
		if entryOf(body, r.Name).Get("path").Str == r.Program { // else somebody has put another in its place
			body = dropMember(body, []string{"runtimes"}, r.Name)
		}
	}
	if left := gjson.Get(body, "runtimes"); left.Raw == "{}" {
		if done.Was == "" {
			body = dropMember(body, nil, "runtimes")
		} else {
			body = body[:left.Index] + done.Was + body[left.Index+len(left.Raw):]
		}
	}
	return prefix + body, nil
}

func (docker) ours(text string, done *record) string {
	parts := map[string]string{}
	for _, r := range done.Runtimes {
		parts[r.Name] = entryOf(strings.TrimPrefix(text, bom), r.Name).Get("@ugly").Raw
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintln(&out, name, parts[name])
	}
	return out.String()
}

// entryOf is a runtime's entry. Names are checked: they have nothing of gjson's syntax.
func entryOf(body, name string) gjson.Result { return gjson.Get(body, "runtimes").Get(name) }

func (docker) bare(text string) bool {
	return len(gjson.Parse(strings.TrimPrefix(text, bom)).Map()) == 0
}
