// Package watch gives the threads of containers what their rules say, also those that are born or renamed later. One process
// does it for all containers of a ledger: it sleeps until the kernel tells of a thread, lives while a container with rules
// does, and whoever of rtshield finds it missing starts it again. Nothing but its threads' names is kept in it.
package watch

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/procevents"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// watcher is the process that watches.
type watcher struct {
	root       host.Root
	store      shield.Store
	events     *procevents.Listener
	changes    int // inotify of the ledger's directory
	containers map[shield.Key]*container
}

// container is one whose threads have rules.
type container struct {
	grant shield.Grant
	// processes are its own: the first one and what came of it.
	processes map[int]bool
	// started: its program runs.
	started bool
	// ending: its first process has ended, and perhaps the container with it.
	ending bool
}

// watch returns when no container with rules is left.
func (w *watcher) watch() error {
	if err := w.reload(); err != nil {
		return err
	}
	for pause := endPause; len(w.containers) > 0; {
		timeout := -1
		if w.anyEnding() {
			timeout, pause = int(pause.Milliseconds()), min(2*pause, time.Second)
		} else {
			pause = endPause
		}
		ready := []unix.PollFd{{Fd: int32(w.events.FD), Events: unix.POLLIN}, {Fd: int32(w.changes), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, timeout); err != nil && err != unix.EINTR {
			return err
		}
		events, err := w.events.Read()
		for _, event := range events {
			w.handle(event)
		}
		switch {
		case errors.Is(err, procevents.ErrLost):
			w.scanAll()
		case err != nil:
			return err
		}
		if ready[1].Revents != 0 {
			drain(w.changes)
			if err := w.reload(); err != nil {
				return err
			}
		}
		w.dropEnded()
	}
	return nil
}

// endPause is how long a process takes from its last event to its end, at first.
const endPause = 5 * time.Millisecond

func (w *watcher) anyEnding() bool {
	for _, c := range w.containers {
		if c.ending {
			return true
		}
	}
	return false
}

func (w *watcher) dropEnded() {
	for key, c := range w.containers {
		if c.ending && !reconcile.Live(w.root, c.grant) {
			delete(w.containers, key)
		}
	}
}

// reload reads the ledger, without its lock: it is replaced whole.
func (w *watcher) reload() error {
	ledger, err := w.store.Peek()
	if err != nil {
		return err
	}
	for key := range w.containers {
		if grant := ledger.Grant(key); grant == nil || !watched(w.root, *grant) {
			delete(w.containers, key)
		}
	}
	for _, grant := range ledger.Grants {
		if !watched(w.root, grant) {
			continue
		}
		c := w.containers[grant.Key]
		if c == nil || c.grant.Owner != grant.Owner {
			c = &container{}
			w.containers[grant.Key] = c
		} else if slices.Equal(c.grant.Threads, grant.Threads) && c.grant.CPUs.Equals(grant.CPUs.CPUSet) {
			c.grant = grant
			continue
		}
		c.grant = grant
		w.scan(c)
	}
	return nil
}

// watched says whether a grant is one to watch.
func watched(root host.Root, grant shield.Grant) bool {
	return len(grant.Threads) > 0 && grant.Bound && reconcile.Live(root, grant)
}

func (w *watcher) scanAll() {
	for _, c := range w.containers {
		w.scan(c)
	}
}

// scan looks at all threads of a container. What is known to be its own stays so: an orphan's parent tells nothing any more.
func (w *watcher) scan(c *container) {
	c.processes = reconcile.Processes(w.root, c.grant, c.processes)
	if c.started = c.started || reconcile.Started(w.root, c.grant); !c.started {
		return
	}
	c.ending = !w.root.Alive(c.grant.Owner.PID, c.grant.Owner.Start)
	for pid := range c.processes {
		tids, _ := task.Threads(w.root, pid) // none of one that has ended
		for _, tid := range tids {
			w.place(c, pid, tid)
		}
	}
}

// place gives one thread its place. What the kernel refuses `rtshield status` shows; there is nobody to tell it here.
func (w *watcher) place(c *container, pid, tid int) {
	_, _, _ = reconcile.Place(w.root, c.grant, pid, tid)
}

func (w *watcher) handle(event procevents.Event) {
	for _, c := range w.containers {
		if event.What == procevents.Fork && event.TID == event.PID {
			c.born(event)
		}
		switch {
		case !c.processes[event.PID]:
		case event.What == procevents.Exit:
			w.exit(c, event)
		case !c.started && event.TID == c.grant.Owner.PID:
			w.scan(c)
		case c.started:
			w.place(c, event.PID, event.TID)
		}
	}
}

// born takes in a process of one that is the container's. Another of a number that was the container's once is not.
func (c *container) born(event procevents.Event) {
	if c.processes[event.Parent] {
		c.processes[event.PID] = true
	} else {
		delete(c.processes, event.PID)
	}
}

// exit forgets a process whose last thread ends. Its number goes to another only with a fork, of which we are told.
func (w *watcher) exit(c *container, event procevents.Event) {
	if event.TID != event.PID {
		return
	}
	c.ending = c.ending || event.PID == c.grant.Owner.PID
	if tids, err := task.Threads(w.root, event.PID); event.PID != c.grant.Owner.PID && (err != nil || len(tids) < 2) {
		delete(c.processes, event.PID)
	}
}

// drain empties an inotify descriptor.
func drain(fd int) {
	buffer := make([]byte, 4096)
	for {
		if n, err := unix.Read(fd, buffer); n <= 0 && err != unix.EINTR {
			return
		}
	}
}
