package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host/procevents"
)

// workLimit is for what is done in create and delete together.
const workLimit = 15 * time.Millisecond

// work is how long rtshield's own processes take in create and delete of a shielded container, the hooks included, beyond
// those of an ordinary one with hooks that find nothing to do. The last rows of the table have more in them: what runc and the
// kernel take longer meanwhile.
func (f *field) work(ctx context.Context, pairs int) (time.Duration, error) {
	own := func(bundle string) func(context.Context) (time.Duration, error) {
		life := f.life(f.rtshield, bundle)
		return func(ctx context.Context) (time.Duration, error) {
			w, err := watch(f.rtshield)
			if err != nil {
				return 0, err
			}
			_, err = life(ctx)
			sum, lost := w.total()
			return sum, errors.Join(err, lost)
		}
	}
	r, err := benchCase{runc: own("idle"), rtshield: own("shielded")}.measure(ctx, pairs)
	return r.rtshield - r.runc, err
}

// watcher adds up the time of all processes of one program, each from its exec to its end, or until it becomes another
// program. The kernel's process events tell when, and slow down nobody, as a tracer would.
type watcher struct {
	program   string
	events    *procevents.Listener
	stop, end chan struct{}
	began     map[int]time.Duration // by process
	sum       time.Duration
	err       error
}

func watch(program string) (*watcher, error) {
	events, err := procevents.Open()
	if err != nil {
		return nil, err
	}
	w := &watcher{program: program, events: events, stop: make(chan struct{}), end: make(chan struct{}), began: map[int]time.Duration{}}
	go w.receive()
	return w, nil
}

// receive ends once total was called and no event is left.
func (w *watcher) receive() {
	defer close(w.end)
	defer w.events.Close()
	for w.err == nil {
		var events []procevents.Event
		events, w.err = w.events.Read()
		for _, event := range events {
			w.event(event)
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-w.stop:
			return
		default:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(w.events.FD), Events: unix.POLLIN}}, 20)
		}
	}
}

func (w *watcher) event(event procevents.Event) {
	began, ours := w.began[event.PID]
	switch {
	case event.What == procevents.Exec:
		if program, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(event.PID), "exe")); program == w.program {
			w.began[event.PID] = event.At
			return
		}
	case event.What != procevents.Exit || event.TID != event.PID:
		return
	}
	if ours {
		w.sum += event.At - began
		delete(w.began, event.PID)
	}
}

func (w *watcher) total() (time.Duration, error) {
	time.Sleep(20 * time.Millisecond) // the last event may be on its way
	close(w.stop)
	<-w.end
	return w.sum, w.err
}
