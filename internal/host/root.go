// Package host reads and writes the kernel's settings. It has never heard of a container's class: policy is in
// internal/shield. Every path hangs on one Root, so that tests can bring a host of their own.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Root is the directory below which /proc and /sys are found: "/" on a real host.
type Root string

// System is the running host.
const System Root = "/"

// Path joins the parts below the root.
func (r Root) Path(parts ...string) string {
	path := strings.TrimSuffix(string(r), "/")
	for _, part := range parts { // filepath.Join would clean what is clean, hundreds of times
		path += "/" + strings.TrimPrefix(part, "/")
	}
	return path
}

// Read gives a file's text without the newline at its end.
//
// With plain system calls: os.ReadFile also asks for the size, which is 0 for these files, and offers each descriptor to
// epoll, which for hundreds of interrupts is most of the time.
func (r Root) Read(parts ...string) (string, error) {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readAll(fd, path)
}

// ReadOnce is Read for what the kernel hands out whole, as it does /proc/PID/stat and the attributes of sysfs: it spares the
// call that would find the end.
func (r Root) ReadOnce(parts ...string) (string, error) {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	scratch.Lock()
	defer scratch.Unlock()
	for {
		n, err := unix.Read(fd, scratch.bytes[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		default:
			return string(bytes.TrimRight(scratch.bytes[:n], "\n")), nil
		}
	}
}

// ReadMode is Read with the file's permission bits.
func (r Root) ReadMode(parts ...string) (text string, mode uint32, err error) {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", 0, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	text, err = readAll(fd, path)
	return text, stat.Mode & 0o777, err
}

func readAll(fd int, path string) (string, error) {
	scratch.Lock()
	defer scratch.Unlock()
	buffer := scratch.bytes[:0]
	for {
		if len(buffer) == cap(buffer) {
			buffer = append(buffer, 0)[:len(buffer)]
		}
		n, err := unix.Read(fd, buffer[len(buffer):cap(buffer)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return string(bytes.TrimRight(buffer, "\n")), nil
		default:
			buffer = buffer[:len(buffer)+n]
		}
	}
}

// Write puts value into an existing file with one write(2), as files of /proc and /sys want it.
func (r Root) Write(value string, parts ...string) error {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, path, value)
}

// Exchange writes value as Write does, and gives what the file says then, "" where that cannot be read. Opening a file takes
// longer than the rest.
func (r Root) Exchange(value string, parts ...string) (now string, err error) {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_RDWR|unix.O_TRUNC)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := writeAll(fd, path, value); err != nil {
		return "", err
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err == nil {
		now, _ = readAll(fd, path)
	}
	return now, nil
}

func writeAll(fd int, path, value string) error {
	for {
		_, err := unix.Write(fd, []byte(value+"\n"))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
}

// Gone says of an error that the file, its process or its cgroup does not exist any more, and not that it could not be
// looked at. Reading in a cgroup directory that is just being removed gives ENODEV.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}

// scratch is what files are read into: hundreds of buffers would cost more than the reading.
var scratch struct {
	sync.Mutex
	bytes [8192]byte
}

func open(path string, mode int) (int, error) {
	for {
		fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// List gives the names in a directory, in no order, without "." and "..". As Read, with plain system calls.
func (r Root) List(parts ...string) ([]string, error) {
	path := r.Path(parts...)
	fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	scratch.Lock()
	defer scratch.Unlock()
	var names []string
	for {
		n, err := unix.ReadDirent(fd, scratch.bytes[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return names, &os.PathError{Op: "readdir", Path: path, Err: err}
		case n == 0:
			return names, nil
		default:
			_, _, names = unix.ParseDirent(scratch.bytes[:n], -1, names)
		}
	}
}

// Subdirectories gives the names of the directories in one, in order. Most have none, which their link count tells:
// kernfs counts 2 and one for each.
func (r Root) Subdirectories(parts ...string) ([]string, error) {
	path := r.Path(parts...)
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Nlink == 2 {
		return nil, nil
	}
	entries, err := os.ReadDir(path)
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// BootID tells this boot of the kernel from every other.
func (r Root) BootID() (string, error) { return r.Read("proc/sys/kernel/random/boot_id") }

// LastBorn names the last thread that was born, on the whole host or in our own pid namespace: who reads the same again knows
// that there are no new ones. "" if it cannot be told.
func (r Root) LastBorn() string {
	text, _ := r.ReadOnce("proc/loadavg")
	return text[strings.LastIndexByte(text, ' ')+1:]
}

// AtLeast says whether the kernel's release is this one or a later one.
func (r Root) AtLeast(major, minor int) bool {
	var x, y int
	_, err := fmt.Sscanf(r.Kernel(), "%d.%d", &x, &y)
	return err == nil && (x > major || x == major && y >= minor)
}

// Kernel gives the release, such as 6.18.44.
func (r Root) Kernel() string {
	release, _ := r.Read("proc/sys/kernel/osrelease")
	return strings.TrimSpace(release)
}
