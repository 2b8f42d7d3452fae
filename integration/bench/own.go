package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
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
			return w.stop(), err
		}
	}
	r, err := benchCase{runc: own("idle"), rtshield: own("shielded")}.measure(ctx, pairs)
	return r.rtshield - r.runc, err
}

// watcher adds up the time of all processes of one program, each from its exec to its end, or until it becomes another
// program. The kernel's process events (CONFIG_PROC_EVENTS, connector(7)) tell when, and slow down nobody, as a tracer would.
type watcher struct {
	program string
	socket  int
	end     chan struct{}
	began   map[uint32]uint64 // by process, in ns since boot
	sum     time.Duration
}

// Of linux/cn_proc.h.
const (
	cnIdxProc, cnValProc = 1, 1
	listen               = 1 // PROC_CN_MCAST_LISTEN
	eventExec            = 0x2
	eventExit            = 0x80000000
)

func watch(program string) (*watcher, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("process events: %w", err)
	}
	w := &watcher{program: program, socket: socket, end: make(chan struct{}), began: map[uint32]uint64{}}
	order := binary.NativeEndian
	message := make([]byte, unix.NLMSG_HDRLEN+24) // struct nlmsghdr, struct cn_msg, the operation
	order.PutUint32(message[0:], uint32(len(message)))
	order.PutUint16(message[4:], unix.NLMSG_DONE)
	order.PutUint32(message[16:], cnIdxProc)
	order.PutUint32(message[20:], cnValProc)
	order.PutUint16(message[32:], 4)
	order.PutUint32(message[36:], listen)
	err = errors.Join(
		unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: cnIdxProc}),
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}),
		unix.Sendto(socket, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err != nil {
		unix.Close(socket)
		return nil, fmt.Errorf("process events: %w", err)
	}
	go w.receive()
	return w, nil
}

// receive ends a moment after stop was called, when no event is left.
func (w *watcher) receive() {
	defer close(w.end)
	buffer := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(w.socket, buffer, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			select {
			case w.end <- struct{}{}:
				return
			default:
			}
		case err == nil && n >= unix.NLMSG_HDRLEN+20+24:
			w.event(buffer[unix.NLMSG_HDRLEN+20 : n])
		}
	}
}

// event takes a struct proc_event: what, cpu, the time in ns, and for exec and exit the thread and its process.
func (w *watcher) event(event []byte) {
	order := binary.NativeEndian
	what, at := order.Uint32(event), order.Uint64(event[8:])
	thread, process := order.Uint32(event[16:]), order.Uint32(event[20:])
	began, ours := w.began[process]
	switch {
	case what == eventExec:
		if program, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(int(process)), "exe")); program == w.program {
			w.began[process] = at
			return
		}
	case what != eventExit || thread != process:
		return
	}
	if ours {
		w.sum += time.Duration(at - began)
		delete(w.began, process)
	}
}

func (w *watcher) stop() time.Duration {
	<-w.end
	<-w.end
	unix.Close(w.socket)
	return w.sum
}
