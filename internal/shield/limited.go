package shield

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Limited notes an ordinary container whose CPU time rtshield has bound, for status and update. It holds nothing of the host,
// so it is in no ledger: its note is a file of its own, and nobody else has to look at it.
type Limited struct {
	Key
	Name string `json:"name"`
	// Share is the bound. Zero once the engine has set one of its own.
	Share Share `json:"share,omitzero"`
	// Asked is the annotation's value.
	Asked string `json:"asked"`
	// Wrote is linux.resources.cpu.quota as the engine wrote it, and says again with each update: 0, or -1 for none.
	Wrote int64 `json:"wrote,omitempty"`
	// Cgroups are where its cgroup may be, below a hierarchy's mount: which it is depends on the delegate.
	Cgroups []string `json:"cgroups"`
	// Owner is the runtime that made it.
	Owner Owner `json:"owner"`
}

// Replaces says whether an update gives the container a quota of the engine's own, also one that lifts every bound.
func (l Limited) Replaces(update Update) bool { return update.Quota != 0 && update.Quota != l.Wrote }

func (s Store) notes() string { return filepath.Join(s.Dir, "limited") }

// note is the file of one container. Its id goes into no path.
func (s Store) note(key Key) string {
	name := fnv.New128a()
	_, _ = name.Write([]byte(key.Root + "\x00" + key.ID))
	return filepath.Join(s.notes(), fmt.Sprintf("%x.json", name.Sum(nil)))
}

// HasNote says whether there is a note of a container. One that cannot be looked at is there.
func (s Store) HasNote(key Key) bool {
	_, err := os.Lstat(s.note(key))
	hidden := errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0
	return !errors.Is(err, fs.ErrNotExist) && !hidden
}

// Limited reads the note of a container, nil without one.
func (s Store) Limited(key Key) (*Limited, error) {
	if !s.HasNote(key) {
		return nil, nil
	}
	limited, err := s.readNote(s.note(key))
	if limited != nil && limited.Key != key {
		limited = nil
	}
	return limited, err
}

// AllLimited reads all notes. Those that go meanwhile are left out.
func (s Store) AllLimited() ([]Limited, error) {
	names, err := filepath.Glob(filepath.Join(s.notes(), "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Limited
	for _, name := range names {
		limited, err := s.readNote(name)
		if err != nil {
			return nil, err
		}
		if limited != nil {
			all = append(all, *limited)
		}
	}
	return all, nil
}

func (s Store) readNote(name string) (*Limited, error) {
	if err := s.trusted(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("note of a container's bandwidth: %w", err)
	}
	limited := &Limited{}
	if err := json.Unmarshal(data, limited); err != nil {
		return nil, fmt.Errorf("note %s of a container's bandwidth cannot be read: %w: remove it", name, err)
	}
	return limited, nil
}

// SaveLimited writes a note in place of an earlier one.
func (s Store) SaveLimited(limited Limited) error {
	if err := os.MkdirAll(s.notes(), 0o700); err != nil {
		return fmt.Errorf("note of a container's bandwidth: %w", err)
	}
	if err := s.trusted(); err != nil {
		return err
	}
	data, err := json.Marshal(limited)
	if err != nil {
		return err
	}
	name := s.note(limited.Key)
	temporary := name + "." + strconv.Itoa(os.Getpid())
	if err = os.WriteFile(temporary, data, 0o600); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("note of a container's bandwidth: %w", err)
	}
	return nil
}

// DropLimited takes the note of a container away, if there is one.
func (s Store) DropLimited(key Key) error {
	if !s.HasNote(key) {
		return nil
	}
	if err := os.Remove(s.note(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note of a container's bandwidth: %w", err)
	}
	return nil
}
