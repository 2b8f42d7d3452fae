// Package bundle makes small OCI bundles for the demo and the benchmark: the
// config.json that `runc spec` writes, with a root file system of one program.
package bundle

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/machine"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// BinDir is where the Makefile puts programs: beside the one that runs.
func BinDir() string {
	self, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(self)
}

// RootFS makes dir a root file system that holds the static program file under the
// first of the names, links to it under the others, and the mount points of
// `runc spec`.
func RootFS(dir, file string, names ...string) error {
	for _, d := range []string{"proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for i, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if i == 0 {
			if err := CopyProgram(path, file); err != nil {
				return err
			}
		} else if err := os.Symlink("/"+names[0], path); err != nil {
			return err
		}
	}
	return nil
}

// CopyProgram copies a program to where nothing is yet.
func CopyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// New makes a bundle of its own in dir: what runc itself proposes, on rootfs
// (absolute, read-only), without a terminal, then changed by edit.
func New(dir, rootfs, runc string, edit func(*specs.Spec)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command(runc, "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%s spec: %w: %s", runc, err, out)
	}
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	spec.Root = &specs.Root{Path: rootfs, Readonly: true}
	spec.Process.Terminal = false
	// runc proposes a hard limit of 1024 open files; where ours is lower and may
	// not be raised (no CAP_SYS_RESOURCE), that would fail.
	spec.Process.Rlimits = nil
	edit(&spec)
	if raw, err = json.MarshalIndent(&spec, "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

// Policy writes a policy file for RTSHIELD_CONFIG into dir, which has to belong to
// root and be writable by nobody else: rtshield with this delegate, and a state
// directory of its own. It returns the file and where the ledger will be.
func Policy(dir, delegate string) (file, ledger string, err error) {
	state := filepath.Join(dir, "state")
	file = filepath.Join(dir, "config.toml")
	var exempt []string
	for _, name := range machine.Exempt() {
		exempt = append(exempt, strconv.Quote(name))
	}
	text := fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n[layout]\nexempt = [%s]\n", delegate, state, strings.Join(exempt, ", "))
	return file, filepath.Join(state, "ledger.json"), os.WriteFile(file, []byte(text), 0o644)
}

// Forget removes the links by which rtshield finds the delegate and the ledger of a policy file of Policy: with the file in
// dir gone, nobody needs them.
func Forget(dir string) { _ = delegate.Forget(filepath.Join(dir, "config.toml")) }
