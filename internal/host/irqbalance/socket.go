package irqbalance

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
)

const (
	// runDir holds the sockets since irqbalance 1.5, if it exists when irqbalance starts.
	runDir = "/run/irqbalance"
	// longest is what irqbalance reads of a request: 500 bytes without an end of its own.
	longest = 499
)

// Seconds for each step of a conversation. irqbalance answers between two scans, which take milliseconds.
var patience = unix.Timeval{Sec: 2}

// addresses are where an irqbalance may listen: since 1.5 a file, or the abstract address of 107 zeros if it could not
// make one; before, an abstract name.
func addresses(root host.Root, pid int) []string {
	number := strconv.Itoa(pid)
	return []string{root.Path(runDir, "irqbalance"+number+".sock"), zeros, "\x00irqbalance" + number + ".sock"}
}

// zeros is sun_path as irqbalance binds it, all of it: of another length it would be another address.
var zeros = strings.Repeat("\x00", 108)

// connect finds the socket that this very process listens on.
func connect(root host.Root, pid int) (int, error) {
	err := error(unix.ECONNREFUSED)
	for _, address := range addresses(root, pid) {
		fd, e := dial(address)
		if e != nil {
			if !gone(e) {
				err = e
			}
			continue
		}
		if peer(fd) == pid {
			return fd, nil
		}
		hangUp(fd)
	}
	return -1, fmt.Errorf("irqbalance %d: %w", pid, err)
}

func dial(address string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} { // SO_SNDTIMEO bounds connect too
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &patience); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	if address == zeros {
		err = connectToZeros(fd)
	} else {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: address})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// connectToZeros: unix.SockaddrUnix takes one byte less.
func connectToZeros(fd int) error {
	address := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address)), unix.SizeofSockaddrUnix); errno != 0 {
		return errno
	}
	return nil
}

// listeners gives the irqbalances with a socket. One that was killed leaves its file behind.
func listeners(root host.Root) []int {
	var pids []int
	entries, _ := os.ReadDir(root.Path(runDir))
	for _, entry := range entries {
		number, isSocket := strings.CutSuffix(strings.TrimPrefix(entry.Name(), "irqbalance"), ".sock")
		if pid, err := strconv.Atoi(number); err == nil && isSocket && isIrqbalance(root, pid) {
			pids = append(pids, pid)
		}
	}
	if len(pids) > 0 {
		return pids
	}
	if fd, err := dial(zeros); err == nil {
		defer hangUp(fd)
		if pid := peer(fd); isIrqbalance(root, pid) {
			return []int{pid}
		}
	}
	if pid, _ := running(root); pid > 0 {
		fd, err := connect(root, pid)
		if err == nil {
			hangUp(fd)
		}
		if !gone(err) { // also one that is too busy now, or stopped
			return []int{pid}
		}
	}
	return nil
}

func peer(fd int) int {
	if credentials, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		return int(credentials.Pid)
	}
	return 0
}

// hangUp says something first: irqbalance 1.9.2 died of a connection that ended without a word (seen in a VM).
func hangUp(fd int) {
	_ = send(fd, "-")
	unix.Close(fd)
}

// send sends as root: irqbalance wants to see SCM_CREDENTIALS with uid 0.
func send(fd int, request string) error {
	me := unix.UnixCredentials(&unix.Ucred{Pid: int32(unix.Getpid()), Uid: uint32(unix.Geteuid()), Gid: uint32(unix.Getegid())})
	return unix.Sendmsg(fd, []byte(request), me, nil, unix.MSG_NOSIGNAL)
}

// ask sends one request and reads until irqbalance hangs up.
func ask(root host.Root, pid int, request string) (string, error) {
	fd, err := connect(root, pid)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := send(fd, request); err != nil {
		return "", fmt.Errorf("irqbalance %d does not listen: %w", pid, err)
	}
	var reply []byte
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buffer)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", fmt.Errorf("irqbalance %d does not answer: %w", pid, err)
		case n == 0:
			return string(reply), nil
		default:
			reply = append(reply, buffer[:n]...)
		}
	}
}
