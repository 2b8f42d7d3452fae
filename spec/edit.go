package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"golang.org/x/sys/unix"
)

// op is one edit, with what is needed to take it back. Old and New are raw JSON; nil stands for "absent".
type op struct {
	// Path is a gjson path. An appended element's is its array's.
	Path   string  `json:"path"`
	Append bool    `json:"append,omitempty"`
	Old    *string `json:"old"`
	New    *string `json:"new"`
}

// Change is one edit for people to read.
type Change struct {
	Path string `json:"path"`
	// From and To are JSON; "absent" for a value that is not there.
	From string `json:"from"`
	To   string `json:"to"`
}

// Changes lists the edits made so far, without the empty objects made on the way.
func (d *Document) Changes() []Change {
	var changes []Change
	for _, o := range d.ops {
		if o.Old == nil && o.New != nil && (*o.New == "{}" || *o.New == "[]") {
			continue
		}
		change := Change{Path: o.Path, From: text(o.Old), To: text(o.New)}
		if o.Append {
			change.Path += "[+]"
		}
		changes = append(changes, change)
	}
	return changes
}

func text(raw *string) string {
	if raw == nil {
		return "absent"
	}
	return *raw
}

// set puts a value at a path whose parents exist.
func (d *Document) set(path string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	old := d.raw(path)
	if old != nil && same(*old, string(raw)) {
		return nil
	}
	return d.do(op{Path: path, Old: old, New: ref(string(raw))})
}

// remove takes a value away, if it is there.
func (d *Document) remove(path string) error {
	old := d.raw(path)
	if old == nil {
		return nil
	}
	return d.do(op{Path: path, Old: old})
}

// ensure makes the objects of a path, one op each, so that taking the edits back leaves no empty object behind. JSON's
// null counts as absent, as it does for runc.
func (d *Document) ensure(empty string, paths ...string) error {
	for _, path := range paths {
		if old := d.raw(path); old == nil || *old == "null" {
			if err := d.do(op{Path: path, Old: old, New: ref(empty)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// add appends an element to an array, which is made if it is not there.
func (d *Document) add(path string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := d.ensure("[]", path); err != nil {
		return err
	}
	if !gjson.GetBytes(d.data, path).IsArray() {
		return fmt.Errorf("%s: %s is not an array", d.Path, path)
	}
	return d.do(op{Path: path, Append: true, New: ref(string(raw))})
}

func (d *Document) do(o op) error {
	data, err := apply(d.data, o)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", d.Path, o.Path, err)
	}
	d.data = data
	d.ops = append(d.ops, o)
	return nil
}

func apply(data []byte, o op) ([]byte, error) {
	// sjson may write into the slice it is given.
	data = bytes.Clone(data)
	switch {
	case o.Append:
		return sjson.SetRawBytes(data, o.Path+".-1", []byte(*o.New))
	case o.New == nil:
		return sjson.DeleteBytes(data, o.Path)
	}
	return sjson.SetRawBytes(data, o.Path, []byte(*o.New))
}

func (d *Document) raw(path string) *string {
	value := gjson.GetBytes(d.data, path)
	if !value.Exists() {
		return nil
	}
	return ref(value.Raw)
}

func ref(s string) *string { return &s }

// same compares two raw values without regard to white space.
func same(a, b string) bool {
	if a == b {
		return true
	}
	var x, y bytes.Buffer
	return json.Compact(&x, []byte(a)) == nil && json.Compact(&y, []byte(b)) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// journalPath is where the edits of a config.json are kept. It stands beside the file and not in an annotation, because
// annotations come from whoever may create a container, and the journal is carried out by root.
func journalPath(path string) string { return path + ".rtshield" }

func (d *Document) saveJournal(ops []op) error {
	if len(ops) == 0 {
		if err := os.Remove(journalPath(d.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	// Never through a link that somebody put there.
	file, err := os.OpenFile(journalPath(d.Path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// saved says whether file and journal already are what Save would make them: the same bundle run again with the same
// grant.
func (d *Document) saved() bool {
	if !bytes.Equal(d.data, d.disk) {
		return false
	}
	if len(d.ops) == 0 {
		return bytes.Equal(d.user, d.disk)
	}
	want, err := json.Marshal(d.ops)
	if err != nil {
		return false
	}
	have, err := os.ReadFile(journalPath(d.Path))
	return err == nil && bytes.Equal(have, want)
}

// restore takes the edits of the journal back, newest first. An edit whose result is not there any more was changed by
// somebody since, whose word then counts.
func restore(path string, data []byte) ([]byte, error) {
	var stat unix.Stat_t
	text, err := readRegular(journalPath(path), &stat)
	if errors.Is(err, fs.ErrNotExist) {
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	var ops []op
	if err := json.Unmarshal(text, &ops); err != nil {
		// Killed while it was written: config.json still is what its user wrote.
		return data, nil //nolint:nilerr // see above
	}
	if data, err = undoAll(data, ops); err != nil {
		return nil, fmt.Errorf("%s: %w", journalPath(path), err)
	}
	return data, nil
}

func undoAll(data []byte, ops []op) ([]byte, error) {
	for i := len(ops) - 1; i >= 0; i-- {
		var err error
		if data, err = undo(data, ops[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", ops[i].Path, err)
		}
	}
	return data, nil
}

func undo(data []byte, o op) ([]byte, error) {
	if o.Append {
		for i, element := range gjson.GetBytes(data, o.Path).Array() {
			if o.New != nil && same(element.Raw, *o.New) {
				return sjson.DeleteBytes(bytes.Clone(data), fmt.Sprintf("%s.%d", o.Path, i))
			}
		}
		return data, nil
	}
	now := gjson.GetBytes(data, o.Path)
	if now.Exists() != (o.New != nil) || o.New != nil && !same(now.Raw, *o.New) {
		return data, nil
	}
	return apply(data, op{Path: o.Path, Old: o.New, New: o.Old})
}
