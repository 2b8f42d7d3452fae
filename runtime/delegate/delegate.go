// Package delegate finds the real OCI runtime and hands over to it.
package delegate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/privilege"
)

// Defaults are looked for where the policy file names none, or may not be read.
var Defaults = []string{"runc", "crun"}

// ErrNone is wrapped by Find's error.
var ErrNone = errors.New("no OCI runtime to hand over to")

// standardDirs are searched after $PATH: conmon, for one, may start a runtime with an empty environment.
var standardDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Find gives the path of the first of names that is an executable file and is not this program: not
// even through a link, since rtshield may itself be installed as runc in one folder of $PATH.
// A name with a slash is a path and must be absolute; others are searched for. The error wraps ErrNone, unless the one
// that was found is not to be trusted.
func Find(names []string) (string, error) {
	self, _ := os.Stat("/proc/self/exe")
	dirs := searchDirs()
	var tried []string
	for _, name := range names {
		paths, refused := candidates(name, dirs)
		if refused != "" {
			tried = append(tried, refused)
			continue
		}
		for _, path := range paths {
			why := unusable(path, self)
			if why == "" {
				return trusted(path)
			}
			// In a search, a file that is not there is no news; the summary below says where we looked.
			if len(paths) == 1 || why != notThere {
				tried = append(tried, path+" "+why)
			}
		}
		if len(paths) > 1 {
			tried = append(tried, fmt.Sprintf("%s not in %s", name, strings.Join(dirs, ":")))
		}
	}
	if len(tried) == 0 {
		tried = []string{"the list of delegates is empty"}
	}
	return "", fmt.Errorf("%w (%s): install runc or crun, or name one in [runtime] delegates",
		ErrNone, strings.Join(tried, "; "))
}

// trusted refuses a delegate that others than root could have put there: it runs as root with each verb. The search ends
// with it, since another runtime would not know its containers.
func trusted(path string) (string, error) {
	if err := privilege.Trusted(path); err != nil {
		return "", fmt.Errorf("delegate: %w", err)
	}
	return path, nil
}

// candidates are the files that name may stand for, or the reason why it can be none.
func candidates(name string, dirs []string) (paths []string, refused string) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return nil, name + " is not an absolute path"
		}
		return []string{filepath.Clean(name)}, ""
	}
	if name == "" || name == "." || name == ".." {
		return nil, fmt.Sprintf("%q is no name of a program", name)
	}
	for _, dir := range dirs {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths, ""
}

// searchDirs leaves relative entries of $PATH out: the working directory is the bundle, and what lies there
// must not run as root. The last is rtshield's own: an installer may bring a runc for a host that has none.
func searchDirs() []string {
	all := append(filepath.SplitList(os.Getenv("PATH")), standardDirs...)
	if self, err := os.Executable(); err == nil {
		all = append(all, filepath.Dir(self))
	}
	var dirs []string
	for _, dir := range all {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, filepath.Clean(dir)) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}

const notThere = "is not there"

// unusable says why path cannot be the delegate, "" if it can. self may be nil: then the depth counter alone
// guards against a loop.
func unusable(path string, self os.FileInfo) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return notThere
	case err != nil:
		return "cannot be read: " + err.Error()
	case !info.Mode().IsRegular():
		return "is not a regular file"
	case info.Mode().Perm()&0o111 == 0:
		return "is not executable"
	case self != nil && os.SameFile(info, self):
		return "is rtshield itself"
	}
	return ""
}
