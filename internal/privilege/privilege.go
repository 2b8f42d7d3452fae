// Package privilege says what this process may do to the host, and whose files it may act on.
package privilege

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// initial is /proc/self/uid_map in the first user namespace: all of its uids.
const initial = "0 0 4294967295"

// Trusted refuses a file that others than root could have written: the file, the directory that it stands in, and that of
// the file it is a link to. The ones above need no look: who may rename these puts something of their own there, and not
// root's.
func Trusted(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, name := range []string{filepath.Dir(path), filepath.Dir(real), real} {
		var stat unix.Stat_t
		if err := unix.Stat(name, &stat); err != nil {
			return &os.PathError{Op: "stat", Path: name, Err: err}
		}
		if foreign(stat.Uid) {
			return fmt.Errorf("%s belongs to uid %d: make it root's", name, stat.Uid)
		}
		// A sticky directory such as /tmp lets others add files, not replace root's.
		if stat.Mode&0o022 != 0 && (stat.Mode&unix.S_IFMT != unix.S_IFDIR || stat.Mode&unix.S_ISVTX == 0) {
			return fmt.Errorf("%s has mode %04o, so that others could change it: chmod go-w %s", name, stat.Mode&0o7777, name)
		}
	}
	return nil
}

// overflow is how the owners of files that a user namespace does not know are shown in it, root of the host among them.
const overflow = 65534

func foreign(uid uint32) bool {
	return uid != 0 && int(uid) != os.Geteuid() && (uid != overflow || isInitial("/proc/self/uid_map"))
}

// Shield says why this process cannot shield CPUs; nil if it can.
func Shield() error { return shield(os.Geteuid(), "/proc/self/uid_map") }

func shield(euid int, uidMap string) error {
	if euid != 0 {
		return fmt.Errorf("rtshield runs as uid %d, and CPU sets, interrupts and real-time policies are root's to set: run it by an engine of root", euid)
	}
	if !isInitial(uidMap) {
		return fmt.Errorf("rtshield runs in a user namespace, where root may not set CPU sets, interrupts and real-time policies of the host: run it by an engine that is not rootless")
	}
	return nil
}

func isInitial(uidMap string) bool {
	text, err := os.ReadFile(uidMap)
	return err != nil || strings.Join(strings.Fields(string(text)), " ") == initial // none: a kernel without user namespaces
}
