package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/config/location"
)

// copyPrograms puts rtshield onto the host, and runc where neither it nor crun is found. One that differs is replaced by a
// rename: containers that run keep what they run, and their next verb is the new program's.
func (n Node) copyPrograms() error {
	names := []string{"rtshield"}
	_, ours := os.Stat(n.path(n.program("runc")))
	if ours == nil || !n.hasDelegate() {
		names = append(names, "runc")
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(n.Image, name))
		if errors.Is(err, fs.ErrNotExist) && name != "rtshield" {
			continue // an image without it
		}
		if err != nil {
			return err
		}
		path := n.path(n.program(name))
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
			continue
		}
		if err := write(path, text, 0o755); err != nil {
			return err
		}
		n.Log("wrote " + n.program(name))
	}
	return nil
}

// hasDelegate says whether the host has a runtime to hand over to, where rtshield looks for one. k3s brings its own, in
// the PATH that it gives containerd.
func (n Node) hasDelegate() bool {
	for _, dir := range []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"} {
		for _, name := range []string{"runc", "crun"} {
			if info, err := os.Stat(n.path(filepath.Join(dir, name))); err == nil && info.Mode().IsRegular() {
				return true
			}
		}
	}
	return false
}

// writePolicy gives the host the policy file that there is for it. One of the host's own is not taken from it.
func (n Node) writePolicy(have *record) error {
	text, err := os.ReadFile(n.Policy)
	if errors.Is(err, fs.ErrNotExist) {
		return n.removePolicy(have)
	}
	if err != nil {
		return err
	}
	if _, err := config.Parse(n.Policy, text); err != nil {
		return err
	}
	path := n.path(location.Default)
	switch there, err := os.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !slices.Contains(have.Policy, sum(there)):
		return fmt.Errorf("the host has a policy of its own, %s: move it away, or give it none", location.Default)
	case bytes.Equal(there, text):
		return nil
	}
	if err := n.makeDir(have, filepath.Dir(location.Default)); err != nil {
		return err
	}
	// Whichever of the two texts is there, it is ours.
	have.Policy = append(have.Policy, sum(text))
	if err := n.save(have); err != nil {
		return err
	}
	if err := write(path, text, 0o644); err != nil {
		return err
	}
	n.Log("wrote " + location.Default)
	have.Policy = []string{sum(text)}
	return n.save(have)
}

// removePolicy removes the host's policy file, if it is what we wrote.
func (n Node) removePolicy(have *record) error {
	path := n.path(location.Default)
	there, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !slices.Contains(have.Policy, sum(there)) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		n.Log("removed " + location.Default)
	}
	return err
}
