// Package node brings rtshield onto a host from a container that has the host's / mounted, and takes it off again: the programs,
// the policy file, the entries in the engine's configuration, and the labels that tell the cluster. What the engine's
// configuration shall be, rtshield itself decides: it is called in the host's root.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/engine"
)

// Node is a host to be equipped, and with what.
type Node struct {
	// Root is where the host's / is mounted, Dir the directory on the host that is all ours.
	Root, Dir string
	// Image is the directory that rtshield lies in, and runc for a host that has none.
	Image string
	// Engine is containerd, crio or docker; empty: the one that runs. Config is its file; empty: the usual one. Units are the
	// services that read it, of which the active one is restarted; empty: the usual one.
	Engine, Config string
	Units          []string
	// Classes get a runtime of their own: rtshield-fifo.
	Classes []string
	// Policy is a policy file for the host. It need not be there.
	Policy string
	// Metrics is the directory of the node exporter's textfile collector, none, or auto: the usual ones, where they are there.
	Metrics string
	// Run runs a program of the host in the host's root, and gives what it printed.
	Run func(ctx context.Context, argv ...string) (string, error)
	// Log is told each thing that was done.
	Log func(line string)
}

// nothingToDo is how rtshield's answer begins where there is none.
const nothingToDo = "nothing to do"

func (n Node) path(name string) string    { return filepath.Join(n.Root, name) }
func (n Node) program(name string) string { return filepath.Join(n.Dir, "bin", name) }

// Install brings the host to what is asked for. It can be repeated, and interrupted anywhere: what is there is left alone, and
// the engine is restarted only where its configuration has changed.
func (n Node) Install(ctx context.Context) error {
	n, err := n.complete()
	if err != nil {
		return err
	}
	have, err := n.readRecord()
	if err != nil {
		return err
	}
	if err := n.makeDir(have, filepath.Dir(n.program("rtshield"))); err != nil {
		return err
	}
	if err := n.copyPrograms(); err != nil {
		return err
	}
	if have.Engine != "" && (have.Engine != n.Engine || have.Config != n.Config) {
		if err := n.takeOut(ctx, have); err != nil {
			return err
		}
	}
	have.Engine, have.Config, have.Units = n.Engine, n.Config, n.Units
	if err := n.writePolicy(have); err != nil {
		return err
	}
	return n.enter(ctx, have)
}

// enter puts the runtimes into the engine's configuration.
func (n Node) enter(ctx context.Context, have *record) error {
	answer, err := n.Run(ctx, n.entries("--dry-run")...)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, nothingToDo) {
		have.Restart = true
		if err := n.save(have); err != nil {
			return err
		}
		if answer, err = n.Run(ctx, n.entries()...); err != nil {
			return err
		}
		n.Log(strings.TrimSpace(answer))
	}
	return n.restart(ctx, have)
}

// entries is the command that puts them there.
func (n Node) entries(more ...string) []string {
	argv := []string{n.program("rtshield"), "install", n.Engine, "--config", n.Config}
	for _, class := range n.Classes {
		argv = append(argv, "--class", class)
	}
	return append(argv, more...)
}

// Check says what is no more as Install left it.
func (n Node) Check(ctx context.Context) error {
	n, err := n.complete()
	if err != nil {
		return err
	}
	answer, err := n.Run(ctx, n.entries("--dry-run")...)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, nothingToDo) {
		return fmt.Errorf("%s does not have rtshield as it was put there: somebody has written it anew", n.Config)
	}
	return nil
}

// InUse are containers that were started by a program of ours, which has to stay for them.
type InUse []string

func (e InUse) Error() string {
	return fmt.Sprintf("%d container(s) of rtshield's still run: %s", len(e), strings.Join(e, ", "))
}

// Remove takes everything out, in the opposite order. While containers of ours run it changes nothing, and gives InUse.
func (n Node) Remove(ctx context.Context) error {
	have, err := n.readRecord()
	if err != nil || have.Engine == "" {
		return err
	}
	if users := n.users(); len(users) > 0 {
		return InUse(users)
	}
	// Where this was interrupted they may be gone.
	if err := os.MkdirAll(n.path(filepath.Dir(n.program("rtshield"))), 0o755); err != nil {
		return err
	}
	if err := n.copyPrograms(); err != nil {
		return err
	}
	if err := n.takeOut(ctx, have); err != nil {
		return err
	}
	// The engine has read its configuration: nothing can start one more.
	if users := n.users(); len(users) > 0 {
		return InUse(users)
	}
	if answer, err := n.onHost(ctx, "reconcile"); err != nil {
		return err
	} else if !strings.HasPrefix(answer, nothingToDo) {
		n.Log(strings.TrimSpace(answer))
	}
	if err := n.removePolicy(have); err != nil {
		return err
	}
	if err := n.removeMetrics(have); err != nil {
		return err
	}
	if err := n.removeDirs(have); err != nil {
		return err
	}
	n.Log("removed " + n.Dir)
	return nil
}

// takeOut takes the runtimes out of the configuration that the record names.
func (n Node) takeOut(ctx context.Context, have *record) error {
	argv := []string{n.program("rtshield"), "uninstall", have.Engine, "--config", have.Config}
	answer, err := n.Run(ctx, append(argv, "--dry-run")...)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, nothingToDo) {
		have.Restart = true
		if err := n.save(have); err != nil {
			return err
		}
		if answer, err = n.Run(ctx, argv...); err != nil {
			return err
		}
		n.Log(strings.TrimSpace(answer))
	}
	return n.restart(ctx, have)
}

// restart makes the engine read its configuration, unless it has.
func (n Node) restart(ctx context.Context, have *record) error {
	if !have.Restart {
		return n.save(have)
	}
	unit, err := n.active(ctx, have.Units)
	if err != nil {
		return err
	}
	if _, err := n.Run(ctx, "systemctl", "restart", unit); err != nil {
		return err
	}
	n.Log("restarted " + unit)
	have.Restart = false
	return n.save(have)
}

// active gives the first of these services that runs.
func (n Node) active(ctx context.Context, units []string) (string, error) {
	for _, unit := range units {
		if _, err := n.Run(ctx, "systemctl", "is-active", "--quiet", unit); err == nil {
			return unit, nil
		}
	}
	return "", fmt.Errorf("no service is active that would read the configuration (%s): name it with --unit", strings.Join(units, ", "))
}

// sockets tell which engine runs.
var sockets = map[string]string{"containerd": "run/containerd/containerd.sock", "crio": "run/crio/crio.sock"}

// complete fills in what was left open.
func (n Node) complete() (Node, error) {
	if n.Engine == "" {
		var running []string
		for name, socket := range sockets {
			if _, err := os.Stat(n.path(socket)); err == nil {
				running = append(running, name)
			}
		}
		slices.Sort(running)
		if len(running) != 1 {
			return n, fmt.Errorf("which engine does the kubelet use? %d that are known run here (%s): say --engine", len(running), strings.Join(running, ", "))
		}
		n.Engine = running[0]
	}
	all := engine.Engines()
	i := slices.IndexFunc(all, func(e engine.Engine) bool { return e.Name == n.Engine && e.Unit != "" })
	if i < 0 {
		return n, fmt.Errorf("--engine %s: expected containerd, crio or docker", n.Engine)
	}
	if n.Config == "" {
		n.Config = all[i].Config
	}
	if len(n.Units) == 0 {
		n.Units = []string{all[i].Unit}
	}
	return n, nil
}

// makeDir makes a directory of the host with those above it, and notes which were not there.
func (n Node) makeDir(have *record, dir string) error {
	var missing []string
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(n.path(dir)); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		if err := os.Mkdir(n.path(dir), 0o755); err != nil {
			return err
		}
		if !slices.Contains(have.Dirs, dir) {
			have.Dirs = append(have.Dirs, dir)
		}
		// The record stands in the first of them that is ours.
		if _, err := os.Stat(n.path(n.Dir)); err == nil {
			if err := n.save(have); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeDirs removes our directory, and those above it that were made for it and have nothing else in them.
func (n Node) removeDirs(have *record) error {
	if err := os.RemoveAll(n.path(n.Dir)); err != nil {
		return err
	}
	for _, dir := range slices.Backward(have.Dirs) {
		if err := os.Remove(n.path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !notEmpty(err) {
			return err
		}
	}
	return nil
}
