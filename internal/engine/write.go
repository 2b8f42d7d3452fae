package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// replace puts a text in the place of a file, whole or not at all, with the owner, mode and extended attributes (ACL, label)
// of the file like. Where path is a link, the file behind it is replaced.
func replace(path, like, text string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o644)
	var stat unix.Stat_t
	known := unix.Stat(like, &stat) == nil
	if known {
		mode = fs.FileMode(stat.Mode & 0o7777)
	}
	// CRI-O reads every file in its .d directory, whatever its name.
	dir := filepath.Dir(path)
	if strings.HasSuffix(dir, ".d") {
		dir = filepath.Dir(dir)
	}
	err := func() error {
		pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(mode))
		if err != nil {
			return err
		}
		defer pending.Cleanup() //nolint:errcheck // after a rename there is nothing left to clean up
		if known {
			if err := pending.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
				return err
			}
			copyAttributes(like, int(pending.Fd()))
		}
		if _, err := pending.WriteString(text); err != nil {
			return err
		}
		return pending.CloseAtomicallyReplace()
	}()
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("write %s: %w: run it as root", path, fs.ErrPermission)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// copyAttributes copies what the filesystem lets it.
func copyAttributes(from string, to int) {
	names := make([]byte, 4096)
	n, err := unix.Listxattr(from, names)
	if err != nil {
		return
	}
	for _, name := range strings.Split(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 4096)
		if n, err := unix.Getxattr(from, name, value); err == nil {
			_ = unix.Fsetxattr(to, name, value[:n], 0)
		}
	}
}

// remove removes a file, if there is one.
func remove(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
