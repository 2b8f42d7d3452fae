package watch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/procevents"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// verb is the word that makes rtshield the watcher. It is for rtshield alone.
const verb = "watch"

// lockFile is in the ledger's directory.
const lockFile = "watch.lock"

// Wanted says whether a ledger has a container whose threads have rules.
func Wanted(ledger *shield.Ledger) bool {
	return slices.ContainsFunc(ledger.Grants, func(g shield.Grant) bool { return len(g.Threads) > 0 && g.Bound })
}

// Runs says whether the watcher of a ledger is there, without taking its lock: one that starts just now would see it taken.
func Runs(store shield.Store) bool {
	file, err := os.Open(filepath.Join(store.Dir, lockFile))
	if err != nil {
		return false
	}
	defer file.Close()
	held := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &held)
	return err == nil && held.Type != unix.F_UNLCK
}

// errRuns: there is one already.
var errRuns = errors.New("the watcher runs")

// lock is held by the watcher while it lives.
func lock(store shield.Store) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(store.Dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errRuns
	}
	return nil, fmt.Errorf("%s: %w", file.Name(), err)
}

// startup bounds how long a starting watcher is waited for. It is below shield.LockWait: a hook holds the lock meanwhile.
const startup = 15 * time.Second

// Ensure starts the watcher where a container needs one and there is none, and waits until it watches.
//
// It belongs to nobody: in a session of its own, without a descriptor of the caller's, which an engine may wait for the end
// of, and in none of the caller's cgroups.
func Ensure(store shield.Store, ledger *shield.Ledger) error {
	if !Wanted(ledger) || Runs(store) {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command(program, verb, "--state", store.Dir)
	cmd.Args[0] = "rtshield"
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1"}
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err == nil {
		go func() { _ = cmd.Wait() }() // one that finds another in its place ends at once
		_ = read.SetReadDeadline(time.Now().Add(startup))
		var said []byte
		if said, err = io.ReadAll(io.LimitReader(read, 4096)); err == nil && len(said) > 0 {
			err = errors.New(strings.TrimSpace(string(said)))
		}
	}
	if err != nil {
		return fmt.Errorf("thread rules (%s/%s) are not watched: %w", shield.Domain, shield.KeyThreads, err)
	}
	return nil
}

// Is says whether a command line, without its program, is the watcher's.
func Is(args []string) bool { return len(args) == 3 && args[0] == verb && args[1] == "--state" }

// ready is the descriptor on which Ensure waits: an error, or its end.
const ready = 3

// Main is the watcher's life.
func Main(args []string) int {
	// What the caller had open without close-on-exec is not ours. Nothing of our own is open yet.
	_ = unix.CloseRange(ready+1, ^uint(0), 0)
	pipe := os.NewFile(ready, "ready")
	syscall.CloseOnExec(ready)
	err := live(args[2], pipe)
	if err != nil {
		fmt.Fprintln(pipe, err)
		return 1
	}
	return 0
}

func live(state string, ready io.Closer) error {
	root := host.System
	bootID, err := root.BootID()
	if err != nil {
		return err
	}
	store := shield.Store{Dir: state, BootID: bootID}
	for {
		lock, err := lock(store)
		if errors.Is(err, errRuns) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = settle(root, store); err == nil {
			err = watchOnce(root, store, ready)
		}
		lock.Close()
		if err != nil {
			return err
		}
		// Who made a container a moment ago may have seen the lock still held.
		if ledger, err := store.Peek(); err != nil || !slices.ContainsFunc(ledger.Grants, func(g shield.Grant) bool { return watched(root, g) }) {
			return err
		}
	}
}

func watchOnce(root host.Root, store shield.Store, ready io.Closer) error {
	events, err := procevents.Open()
	if err != nil {
		return err
	}
	defer events.Close()
	changes, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(changes)
	if _, err := unix.InotifyAddWatch(changes, store.Dir, unix.IN_MOVED_TO|unix.IN_DELETE); err != nil {
		return err
	}
	w := &watcher{root: root, store: store, events: events, changes: changes, containers: map[shield.Key]*container{}}
	_ = ready.Close()
	return w.watch()
}

// nice makes the watcher come before other ordinary work: a thread waits for it.
const nice = -10

// settle puts this process where it disturbs nobody: out of its cgroups, ordinary, on housekeeping CPUs. Threads that are made
// while it looks have what their maker had, so it looks until all are done.
func settle(root host.Root, store shield.Store) error {
	root.LeaveCgroups()
	ledger, err := store.Peek()
	if err != nil {
		return err
	}
	house := ledger.Housekeeping.Difference(ledger.Held())
	done := map[int]bool{}
	for before := -1; before != len(done); {
		before = len(done)
		tids, err := task.Threads(root, os.Getpid())
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if !done[tid] {
				done[tid] = true
				if err := settleThread(tid, house); err != nil && !host.Gone(err) {
					return err
				}
			}
		}
	}
	return nil
}

func settleThread(tid int, house cpuset.CPUSet) error {
	if err := sched.Set(tid, sched.Attr{Nice: nice}); err != nil {
		return err
	}
	if house.IsEmpty() {
		return nil
	}
	return task.SetAffinity(tid, house)
}
