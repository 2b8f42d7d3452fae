package delegate

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/rtshield/rtshield/internal/config/location"
)

// pointers is where `create`, which reads the policy file, leaves the delegate's path for the verbs that must
// not read it: with a typo in that file, `kill` and `delete` still reach the runtime that holds the container.
type pointers struct {
	dir   string
	owner uint32 // whose links are believed
}

var runPointers = pointers{dir: "/run/rtshield"}

// Forget removes what is in /run/rtshield on behalf of a policy file: the pointer to the delegate and the marks. It is for those
// who make policy files for a while.
func Forget(configPath string) error {
	var problems []error
	for _, what := range []string{pointerName, execMarkName, ledgerMarkName} {
		if err := os.Remove(runPointers.file(what, configPath)); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// Pointed is the delegate that the pointer names. ok is false if there is no pointer, if it is not root's, or
// if the file it names is gone, not executable, or this program. An error is for a pointer that cannot be looked at:
// another delegate would not know the container.
func Pointed() (path string, ok bool, err error) { return runPointers.pointed(location.Path()) }

// Point makes path, which must be absolute, the delegate of later verbs. The pointer is only there while it
// says something: if path is what Find(Defaults) gives, it is removed.
func Point(path string) error { return runPointers.point(location.Path(), path) }

// Resolve is the delegate for a verb that must not read the policy file: Pointed, or else the default.
func Resolve() (string, error) {
	path, ok, err := Pointed()
	if err != nil {
		return "", err
	}
	if ok {
		return trusted(path)
	}
	return Find(Defaults)
}

const pointerName, execMarkName, ledgerMarkName = "delegate", "exec", "ledger"

func (p pointers) path(config string) string { return p.file(pointerName, config) }

// file names what belongs to one policy file, by a hash, since engines on one host may be configured with different files.
func (p pointers) file(what, config string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(config))
	return filepath.Join(p.dir, fmt.Sprintf("%s-%016x", what, h.Sum64()))
}

func (p pointers) pointed(config string) (string, bool, error) {
	link := p.path(config)
	target, err := os.Readlink(link)
	if errors.Is(err, syscall.EINVAL) { // no link
		return "", false, nil
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(link)
	}
	hidden := errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 // root's pointers are nothing to others
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || hidden {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("pointer to the delegate: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != p.owner || !filepath.IsAbs(target) {
		return "", false, nil
	}
	self, _ := os.Stat("/proc/self/exe")
	return target, unusable(target, self) == "", nil
}

func (p pointers) point(config, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("delegate %q is not an absolute path", path)
	}
	link := p.path(config)
	if usual, err := Find(Defaults); err == nil && usual == filepath.Clean(path) {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the pointer to another delegate: %w", err)
		}
		return nil
	}
	// The usual case for a second container, and the hot path: nothing to write.
	if target, ok, err := p.pointed(config); err == nil && ok && target == path {
		return nil
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("point at delegate %s: %w", path, err)
	}
	if err := replaceLink(path, link); err != nil {
		return fmt.Errorf("point at delegate %s: %w", path, err)
	}
	return nil
}

// replaceLink is atomic: a verb that runs beside it sees the old pointer or the new one, never none.
func replaceLink(target, link string) error {
	temp := link + "." + strconv.Itoa(os.Getpid())
	// A process with our pid may have died here.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, link); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return nil
}
