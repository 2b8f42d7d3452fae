// Package host reads and writes the kernel's settings. It has never heard of a container's class: policy is in
// internal/shield. Every path hangs on one Root, so that tests can bring a host of their own.
package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// Root is the directory below which /proc and /sys are found: "/" on a real host.
type Root string

// System is the running host.
const System Root = "/"

// Path joins the parts below the root.
func (r Root) Path(parts ...string) string {
	return filepath.Join(append([]string{string(r)}, parts...)...)
}

// Read gives a file's text without the newline at its end.
func (r Root) Read(parts ...string) (string, error) {
	data, err := os.ReadFile(r.Path(parts...))
	if err != nil {
		return "", err
	}
	return string(bytes.TrimRight(data, "\n")), nil
}

// Write puts value into an existing file with one write(2), as files of /proc and /sys want it.
func (r Root) Write(value string, parts ...string) error {
	file, err := os.OpenFile(r.Path(parts...), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = file.WriteString(value + "\n"); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// BootID tells this boot of the kernel from every other.
func (r Root) BootID() (string, error) { return r.Read("proc/sys/kernel/random/boot_id") }

// Kernel gives the release, such as 6.18.44.
func (r Root) Kernel() string {
	release, _ := r.Read("proc/sys/kernel/osrelease")
	return strings.TrimSpace(release)
}
