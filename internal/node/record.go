package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// record is what was done on a host. It stands in our directory there, so that another version, or one that is called with other
// flags, takes out what was put in.
type record struct {
	Engine string   `json:"engine,omitempty"`
	Config string   `json:"config,omitempty"`
	Units  []string `json:"units,omitempty"`
	// Restart: the engine has not read its configuration yet.
	Restart bool `json:"restart,omitempty"`
	// Policy are sums of the texts of which one is the host's policy file, if it is ours.
	Policy []string `json:"policy,omitempty"`
	// Metrics is the file for the node exporter.
	Metrics string `json:"metrics,omitempty"`
	// Dirs were made, those above first.
	Dirs []string `json:"dirs,omitempty"`
}

func (n Node) recordPath() string { return n.path(filepath.Join(n.Dir, "node.json")) }

// readRecord gives an empty one where nothing was done.
func (n Node) readRecord() (*record, error) {
	var have record
	text, err := os.ReadFile(n.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return &have, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &have)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.recordPath(), err)
	}
	return &have, nil
}

func (n Node) save(have *record) error {
	text, err := json.MarshalIndent(have, "", "  ")
	if err != nil {
		return err
	}
	return write(n.recordPath(), append(text, '\n'), 0o644)
}

// write replaces a file, whole or not at all.
func write(path string, text []byte, mode fs.FileMode) error {
	return renameio.WriteFile(path, text, mode, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(mode))
}

func sum(text []byte) string {
	hash := fnv.New128a()
	hash.Write(text)
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func notEmpty(err error) bool { return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) }

// Lock keeps all others that work on this host off until it is closed. It waits for one that does.
func (n Node) Lock(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(n.path("run/rtshield-node.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another rtshield-node works on this host: %w", err)
		case <-time.After(time.Second):
		}
	}
}
