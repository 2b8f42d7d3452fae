// Package spec reads and edits a bundle's config.json (OCI runtime specification, config.md). It edits text, not
// structs: every byte outside of the touched paths survives, also fields that no library knows yet.
package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
	// tail is what stands behind the object. runc does not look there.
	tail []byte
	stat unix.Stat_t
	ops  []op
}

// Load reads bundle/config.json and takes our own last edits back out of it, so that a bundle that is run again, or
// after a crash, starts from what its user wrote.
func Load(bundle string) (*Document, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	document := &Document{Path: path}
	data, err := readRegular(path, &document.stat)
	if err != nil {
		return nil, err
	}
	if data, document.tail = head(data); data == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrNotJSON)
	}
	document.disk = data
	if document.user, err = restore(path, data); err != nil {
		return nil, err
	}
	document.data = document.user
	return document, nil
}

// readRegular reads a file of a bundle: one that somebody else may have made to lead elsewhere, never to end, or to keep
// its reader waiting, as a FIFO does without O_NONBLOCK.
func readRegular(path string, stat *unix.Stat_t) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := unix.Fstat(int(file.Fd()), stat); err != nil {
		return nil, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxSize>>20)
	}
	return data, nil
}

// head cuts a text behind its first value, where runc stops to read. It is nil if that is no object.
func head(data []byte) (object, tail []byte) {
	if !gjson.ValidBytes(data) {
		decoder := json.NewDecoder(bytes.NewReader(data))
		var first json.RawMessage
		if err := decoder.Decode(&first); err != nil {
			return nil, nil
		}
		data, tail = data[:decoder.InputOffset()], data[decoder.InputOffset():]
	}
	if !gjson.ValidBytes(data) || !gjson.ParseBytes(data).IsObject() {
		return nil, nil
	}
	return data, tail
}

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
		if _, err := pending.Write(slices.Concat(data, d.tail)); err != nil {
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
