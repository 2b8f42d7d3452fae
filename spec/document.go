// Package spec reads and edits a bundle's config.json (OCI runtime specification, config.md). It edits text, not
// structs: every byte outside of the touched paths survives, also fields that no library knows yet.
package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/tidwall/gjson"
	"golang.org/x/sys/unix"
)

// ErrNotJSON: config.json cannot be read as JSON. The delegate has its own words for that.
var ErrNotJSON = errors.New("not a JSON object")

// maxSize bounds what is read into memory. Real files are below 100 kB.
const maxSize = 32 << 20

// Document is a config.json being edited.
type Document struct {
	// Path is the file itself, symbolic links resolved.
	Path string
	// disk is what the file holds, user what its user wrote, data what we make of it.
	disk, user, data []byte
	stat             unix.Stat_t
	ops              []op
}

// Load reads bundle/config.json and takes our own last edits back out of it, so that a bundle that is run again, or
// after a crash, starts from what its user wrote.
func Load(bundle string) (*Document, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	// O_NONBLOCK: opening a FIFO for reading would wait for a writer for ever.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	document := &Document{Path: path}
	if err := unix.Fstat(int(file.Fd()), &document.stat); err != nil {
		return nil, err
	}
	if document.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxSize>>20)
	}
	document.disk = data
	if !isObject(data) {
		return nil, fmt.Errorf("%s: %w", path, ErrNotJSON)
	}
	if document.user, err = restore(path, data); err != nil {
		return nil, err
	}
	document.data = document.user
	return document, nil
}

func isObject(data []byte) bool { return gjson.ValidBytes(data) && gjson.ParseBytes(data).IsObject() }

// Bytes gives the text as edited so far.
func (d *Document) Bytes() []byte { return d.data }

// Save puts the edited text in place of the file, and what is needed to take the edits back out beside it. Nothing is
// written when nothing changed.
//
// Killed at any moment, it leaves a file that Load understands: the edits of the last run are taken out of the file
// before the journal speaks of this run's.
func (d *Document) Save() error {
	if d.saved() {
		return nil
	}
	if !bytes.Equal(d.user, d.disk) {
		if err := d.write(d.user); err != nil {
			return err
		}
		if err := d.saveJournal(nil); err != nil {
			return err
		}
	}
	if bytes.Equal(d.data, d.disk) {
		return nil
	}
	if err := d.saveJournal(d.ops); err != nil {
		return err
	}
	return d.write(d.data)
}

// write replaces the file atomically: a temporary file in the same directory with the original's owner and mode,
// synced, renamed.
func (d *Document) write(data []byte) error {
	d.sweep()
	err := func() error {
		pending, err := renameio.NewPendingFile(d.Path, renameio.WithTempDir(filepath.Dir(d.Path)),
			renameio.WithStaticPermissions(fs.FileMode(d.stat.Mode&0o7777)))
		if err != nil {
			return err
		}
		defer pending.Cleanup() //nolint:errcheck // after a rename there is nothing left to clean up
		if err := pending.Chown(int(d.stat.Uid), int(d.stat.Gid)); err != nil {
			return err
		}
		if _, err := pending.Write(data); err != nil {
			return err
		}
		return pending.CloseAtomicallyReplace()
	}()
	if err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	d.disk = data
	return nil
}

// sweep removes the temporary files of writers that were killed.
func (d *Document) sweep() {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Path), ".config.json[0-9]*")) // renameio's names
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// touched are the objects that we edit. runc reads keys without regard to case and takes the last of several, gjson
// takes the first that fits exactly: a file where the two differ could run with other CPUs than were checked.
var touched = []struct {
	path string
	keys []string
}{
	{"", []string{"process", "linux", "hooks", "annotations"}},
	{"process", []string{"env", "rlimits", "scheduler"}},
	{"linux", []string{"resources", "memoryPolicy"}},
	{"linux.resources", []string{"cpu", "unified", "memory", "hugepageLimits"}},
	{"linux.resources.memory", []string{"swappiness"}},
	{"linux.resources.cpu", []string{"cpus", "mems", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod"}},
	{"hooks", []string{"createRuntime", "poststart", "poststop"}},
}

// unambiguous refuses keys that two readers of JSON could understand in two ways.
func (d *Document) unambiguous() error {
	for _, object := range touched {
		value := gjson.ParseBytes(d.data)
		if object.path != "" {
			value = value.Get(object.path)
		}
		if value.Exists() && value.Type != gjson.Null && !value.IsObject() {
			return fmt.Errorf("%s: %s is not an object", d.Path, object.path)
		}
		seen := map[string]bool{}
		var problem error
		value.ForEach(func(key, _ gjson.Result) bool {
			for _, known := range object.keys {
				if !strings.EqualFold(key.String(), known) {
					continue
				}
				if key.String() != known {
					problem = fmt.Errorf("%s: key %q in %q: write it %q", d.Path, key.String(), object.path, known)
				} else if seen[known] {
					problem = fmt.Errorf("%s: key %q stands twice in %q", d.Path, known, object.path)
				}
				seen[known] = true
			}
			return problem == nil
		})
		if problem != nil {
			return problem
		}
	}
	return nil
}
