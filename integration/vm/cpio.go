package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// archive writes an initramfs: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/
// buffer-format.rst). Not compressed: an emulated CPU takes longer to unpack it than to copy it.
type archive struct {
	w     io.Writer
	inode int
	dirs  map[string]bool
	err   error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: w, dirs: map[string]bool{"/": true, ".": true}}
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// dir makes a directory with all above it.
func (a *archive) dir(name string) {
	name = path.Clean("/" + name)
	if a.dirs[name] {
		return
	}
	a.dir(path.Dir(name))
	a.dirs[name] = true
	a.entry(name, modeDir|0o755, nil)
}

func (a *archive) file(name string, mode int, data []byte) {
	a.dir(path.Dir(name))
	a.entry(name, modeFile|mode, data)
}

// copy puts a file of the host under a name of the guest.
func (a *archive) copy(name, from string) {
	data, err := os.ReadFile(from)
	if err != nil {
		a.fail(err)
		return
	}
	a.file(name, 0o755, data)
}

// close writes the trailer and gives the first error of all.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode int, data []byte) {
	name = strings.TrimPrefix(name, "/")
	a.inode++
	links := 1
	if mode&modeDir == modeDir {
		links = 2
	}
	// Magic, inode, mode, uid, gid, links, mtime, size, device and rdev (major, minor), length of the name, checksum.
	header := "070701"
	for _, field := range []int{a.inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
		header += fmt.Sprintf("%08x", field)
	}
	head := header + name + "\x00"
	a.write([]byte(head + padding(len(head))))
	a.write(data)
	a.write([]byte(padding(len(data))))
}

func padding(length int) string { return strings.Repeat("\x00", -length&3) }

func (a *archive) write(data []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(data)
	}
}

func (a *archive) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}
