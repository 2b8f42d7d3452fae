// Package procevents listens to what the kernel tells of processes and threads that begin, are renamed, or end (its process
// event connector, CONFIG_PROC_EVENTS).
package procevents

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What of include/uapi/linux/cn_proc.h. Others are not told of.
const (
	none = 0
	Fork = 0x00000001
	Exec = 0x00000002
	Comm = 0x00000200
	Exit = 0x80000000
)

// Event is one thing that happened to thread TID of process PID.
type Event struct {
	What     uint32
	TID, PID int
	// Parent is the process that forked, for Fork. Of a new thread the kernel names its process's parent.
	Parent int
	// At is when, on the clock that counts from boot (CLOCK_MONOTONIC).
	At time.Duration
}

// ErrLost: events came faster than they were read, and some are lost. Look at everything once more.
var ErrLost = errors.New("process events were lost")

// The connector's only group, and its message: struct nlmsghdr, cn_msg, proc_event.
const (
	group    = 1 // CN_IDX_PROC, CN_VAL_PROC
	headers  = unix.NLMSG_HDRLEN + 20
	proc     = headers + 16 // what, cpu, timestamp
	listen   = 1            // PROC_CN_MCAST_LISTEN
	ignore   = 2
	patience = time.Second
)

// Listener is open for events.
type Listener struct {
	// FD becomes readable when there are some.
	FD     int
	seq    uint32
	buffer [256]byte
}

// Open begins to listen. The error says what this host lacks. A listener that is killed and not closed leaves Linux before
// 6.6 counting it, and composing messages for nobody, until the next boot.
func Open() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("no process events (CONFIG_CONNECTOR): %w", err)
	}
	l := &Listener{FD: fd, seq: uint32(os.Getpid())}
	// A burst of forks while we wait for a CPU.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group}); err != nil {
		err = fmt.Errorf("process events are refused (CAP_NET_ADMIN): %w", err)
	} else if err = l.ask(listen); err != nil {
		err = fmt.Errorf("process events are refused (another network namespace than the host's?): %w", err)
	} else {
		err = l.acknowledged(time.Now().Add(patience))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return l, nil
}

// Probe says why there is nothing to listen to, nil if there is.
func Probe() error {
	l, err := Open()
	if err != nil {
		return err
	}
	l.Close()
	return nil
}

// Close ends it.
func (l *Listener) Close() {
	_ = l.ask(ignore)
	_ = unix.Close(l.FD)
}

func (l *Listener) ask(operation uint32) error {
	message := make([]byte, headers+4)
	native := binary.NativeEndian
	native.PutUint32(message, uint32(len(message)))
	native.PutUint16(message[4:], unix.NLMSG_DONE)
	native.PutUint32(message[16:], group)
	native.PutUint32(message[20:], group)
	native.PutUint32(message[24:], l.seq)
	native.PutUint32(message[28:], l.seq)
	native.PutUint16(message[32:], 4)
	native.PutUint32(message[headers:], operation)
	return unix.Sendto(l.FD, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// acknowledged waits for the kernel's answer, which all listeners hear. One in a pid or user namespace gets none, and a kernel
// without process events says nothing either.
func (l *Listener) acknowledged(deadline time.Time) error {
	for {
		data, err := l.receive()
		switch {
		case err == unix.EAGAIN:
			left := time.Until(deadline)
			if left <= 0 {
				return errors.New("the kernel does not answer: it has no process events (CONFIG_PROC_EVENTS), or tells them only to processes of the first pid and user namespace")
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(l.FD), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		case err != nil && err != unix.ENOBUFS:
			return err
		case err == nil && what(data) == none && binary.NativeEndian.Uint32(data[28:]) == l.seq+1:
			if refused := unix.Errno(binary.NativeEndian.Uint32(data[proc:])); refused != 0 {
				return fmt.Errorf("process events are refused (CAP_NET_ADMIN): %w", refused)
			}
			return nil
		}
	}
}

// Read gives the events that are there, and none where there are none. ErrLost comes with those that were read.
func (l *Listener) Read() (events []Event, err error) {
	for {
		data, err := l.receive()
		switch {
		case err == unix.EAGAIN:
			return events, nil
		case err == unix.ENOBUFS:
			return events, ErrLost
		case err != nil:
			return events, fmt.Errorf("process events: %w", err)
		}
		if event, ok := parse(data); ok {
			events = append(events, event)
		}
	}
}

// receive gives one message of the kernel's, until the next; nil for one of another sender's or without a proc_event.
func (l *Listener) receive() ([]byte, error) {
	n, from, err := unix.Recvfrom(l.FD, l.buffer[:], 0)
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 || n < proc+16 {
		return nil, nil
	}
	return l.buffer[:n], nil
}

func what(data []byte) uint32 {
	if len(data) < proc+16 {
		return ^uint32(0)
	}
	return binary.NativeEndian.Uint32(data[headers:])
}

func parse(data []byte) (Event, bool) {
	event := Event{What: what(data)}
	if len(data) < proc+16 || binary.NativeEndian.Uint32(data[16:]) != group {
		return event, false
	}
	event.At = time.Duration(binary.NativeEndian.Uint64(data[headers+8:]))
	field := func(i int) int { return int(int32(binary.NativeEndian.Uint32(data[proc+4*i:]))) }
	switch event.What {
	case Fork:
		event.Parent, event.TID, event.PID = field(1), field(2), field(3)
	case Exec, Comm, Exit:
		event.TID, event.PID = field(0), field(1)
	default:
		return event, false
	}
	return event, true
}
