package shield

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Store keeps the ledger in a directory: ledger.json, replaced atomically, under flock on the file lock.
type Store struct {
	Dir string
	// BootID of the running system; a ledger of another boot is forgotten.
	BootID string
	// Wait bounds the wait for the lock. Zero means LockWait.
	Wait time.Duration
}

// LockWait is how long an invocation waits for the lock before it gives up. It stays below HookTimeout, so that a
// waiting hook says why itself before runc kills it.
const LockWait = 30 * time.Second

// HookTimeout is the timeout of our hooks in config.json, in seconds.
const HookTimeout = 45

// Path is the ledger's file.
func (s Store) Path() string { return filepath.Join(s.Dir, "ledger.json") }

// Exists says, without the lock, whether there is a ledger: an empty one is no file, so most invocations end here. One that
// cannot be looked at is there: to open it says why. To others than root, root's is not.
func (s Store) Exists() bool {
	_, err := os.Lstat(s.Path())
	hidden := errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0
	return !errors.Is(err, fs.ErrNotExist) && !hidden
}

// Peek reads the ledger without the lock. It is replaced atomically, so what is read was true a moment ago.
func (s Store) Peek() (*Ledger, error) { return s.load(nil) }

// Session is an open ledger under the lock.
type Session struct {
	*Ledger
	store Store
	lock  *os.File
	saved string
}

// Open takes the lock and reads the ledger. The caller must Close.
func (s Store) Open(who string) (*Session, error) { return s.OpenPeeked(who, nil) }

// OpenPeeked is Open by who has peeked: what still says the same is not decoded again.
func (s Store) OpenPeeked(who string, peeked *Ledger) (*Session, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := s.trusted(); err != nil {
		return nil, err
	}
	lock, err := s.flock(who)
	if err != nil {
		return nil, err
	}
	ledger, err := s.load(peeked)
	if err != nil {
		lock.Close()
		return nil, err
	}
	session := &Session{Ledger: ledger, store: s, lock: lock}
	session.saved = ledger.text
	return session, nil
}

// trusted refuses a directory that others could put a ledger into: the ledger says what root writes into the kernel.
func (s Store) trusted() error {
	var stat unix.Stat_t
	if err := unix.Stat(s.Dir, &stat); err != nil {
		return fmt.Errorf("state directory %s: %w", s.Dir, err)
	}
	if int(stat.Uid) != os.Geteuid() || stat.Mode&0o022 != 0 {
		return fmt.Errorf("state directory %s: uid %d with mode %04o could be written by others: make it root's, mode 0700", s.Dir, stat.Uid, stat.Mode&0o7777)
	}
	return nil
}

// flock takes the lock, or says after Wait who has it. Those who wait get it in the order in which they came.
func (s Store) flock(who string) (*os.File, error) {
	name := filepath.Join(s.Dir, "lock")
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger lock: %w", err)
	}
	wait := s.Wait
	if wait == 0 {
		wait = LockWait
	}
	if err := lockWithin(lock, wait); errors.Is(err, os.ErrDeadlineExceeded) {
		holder, _ := os.ReadFile(name)
		return nil, fmt.Errorf("ledger lock %s is held for more than %v by %s: see what that process waits for", name, wait, holderText(holder))
	} else if err != nil {
		lock.Close()
		return nil, fmt.Errorf("ledger lock %s: %w", name, err)
	}
	// Who holds it, for the message above. Best effort: the lock is the flock, not the text.
	if lock.Truncate(0) == nil {
		_, _ = lock.WriteAt([]byte(fmt.Sprintf("pid %d (%s)", os.Getpid(), who)), 0)
	}
	return lock, nil
}

// lockWithin gives os.ErrDeadlineExceeded when it takes too long. A blocking flock(2) cannot be taken back: the file is
// closed, and the lock with it, once the kernel gives it.
func lockWithin(lock *os.File, wait time.Duration) error {
	err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	result := make(chan error)
	abandoned := make(chan struct{})
	go func() {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		for errors.Is(err, unix.EINTR) {
			err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		}
		select {
		case result <- err:
		case <-abandoned:
			lock.Close()
		}
	}()
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case err := <-result:
		return err
	case <-timeout.C:
		close(abandoned)
		return os.ErrDeadlineExceeded
	}
}

func holderText(text []byte) string {
	if len(text) == 0 {
		return "another process"
	}
	return string(text)
}

func (s Store) load(peeked *Ledger) (*Ledger, error) {
	fresh := &Ledger{Version: LedgerVersion, BootID: s.BootID}
	data, err := os.ReadFile(s.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err == nil {
		err = s.trusted()
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	if peeked != nil && peeked.text == string(data) && peeked.BootID == s.BootID {
		return peeked, nil
	}
	ledger := &Ledger{}
	if err := json.Unmarshal(data, ledger); err != nil {
		return nil, fmt.Errorf("ledger %s cannot be read: %w: move it away and run `rtshield reconcile`", s.Path(), err)
	}
	ledger.text = string(data)
	if ledger.BootID != s.BootID {
		fresh.text = ledger.text // so that the next Save takes the file of another boot away
		return fresh, nil
	}
	if ledger.Version != LedgerVersion {
		return nil, fmt.Errorf("ledger %s has version %d, this rtshield knows %d: use the rtshield that wrote it until its containers are gone", s.Path(), ledger.Version, LedgerVersion)
	}
	return ledger, nil
}

// Save replaces the ledger; an empty one is removed. Nothing is written when nothing changed.
//
// It is not synced to a disk: /run does not outlive the kernel whose state it describes.
func (s *Session) Save() error {
	if s.Ledger.Empty() {
		if s.saved == "" {
			return nil
		}
		if err := os.Remove(s.store.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ledger: %w", err)
		}
		s.saved = ""
		return nil
	}
	text := s.encode()
	if text == s.saved {
		return nil
	}
	// The lock is ours, so a fixed name is safe, and what a killed process left is overwritten.
	temporary := s.store.Path() + ".new"
	err := os.WriteFile(temporary, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(temporary, s.store.Path())
	}
	if err != nil {
		_ = os.Remove(temporary) // a full /run is not to be filled with half of a ledger
		return fmt.Errorf("ledger: %w", err)
	}
	s.saved = text
	return nil
}

func (s *Session) encode() string {
	data, err := json.Marshal(s.Ledger)
	if err != nil { // unreachable: the ledger holds nothing that JSON cannot
		panic(err)
	}
	return string(data) + "\n"
}

// Close lets the lock go. What was not saved is lost.
func (s *Session) Close() {
	_ = s.lock.Close() // closing the last descriptor releases a flock
}
