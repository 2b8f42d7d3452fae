package engine

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSize bounds what is read into memory.
const maxSize = 16 << 20

// file is what a path holds.
type file struct {
	text   string
	exists bool
}

// tree is the disk as it is, and as it shall be.
type tree struct{ was, now map[string]file }

func newTree() *tree { return &tree{map[string]file{}, map[string]file{}} }

// read gives the text that a file shall have.
func (t *tree) read(path string) (text string, exists bool, err error) {
	if f, touched := t.now[path]; touched {
		return f.text, f.exists, nil
	}
	f, err := t.disk(path)
	return f.text, f.exists, err
}

// disk gives the text that a file has, always the same.
func (t *tree) disk(path string) (file, error) {
	f, known := t.was[path]
	if known {
		return f, nil
	}
	f, err := load(path)
	if err == nil {
		t.was[path] = f
	}
	return f, err
}

func load(path string) (file, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if target, linkErr := os.Readlink(path); linkErr == nil {
			return file{}, fmt.Errorf("%s is a link to %s, which is not there", path, target)
		}
		return file{}, nil
	}
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > maxSize {
		return file{}, fmt.Errorf("%s is larger than %d MiB", path, maxSize>>20)
	}
	text, err := os.ReadFile(path)
	return file{string(text), true}, err
}

func (t *tree) write(path, text string) { t.now[path] = file{text, true} }
func (t *tree) remove(path string)      { t.now[path] = file{} }

// forget leaves the disk as it is.
func (t *tree) forget() { t.now = map[string]file{} }

// changed are the files that shall be others than they are.
func (t *tree) changed() (paths []string) {
	for path, f := range t.now {
		if was, err := t.disk(path); err != nil || was != f {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// missing are the directories above a file that are not there yet, those above first.
func missing(path string) (dirs []string) {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dirs = append([]string{dir}, dirs...)
	}
	return dirs
}

// sum tells an edited text from one that is not. Nobody is kept from forging it, who could as well edit the text; and
// crypto/sha256 would be paid for at the start of every OCI verb.
func sum(text string) string {
	hash := fnv.New128a()
	hash.Write([]byte(text))
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// newline is how the lines of a text end.
func newline(text string) string {
	if strings.Contains(text, "\r\n") {
		return "\r\n"
	}
	return "\n"
}
