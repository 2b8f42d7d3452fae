package runtime

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// execute is the verb exec. A process that is added to a shielded container runs ordinary: engines such as containerd's CRI
// copy the scheduler of the container's own process into it, and a health check at FIFO would stop what it looks after.
//
// Without --process there is nothing to do: the delegate starts from config.json, which has no scheduler any more.
func execute(inv argv.Invocation) (int, error) {
	path, err := delegate.Resolve()
	if err != nil {
		return 1, err
	}
	store := shield.Store{Dir: config.StateDir()}
	if inv.Process == "" || !store.Exists() {
		return 1, delegate.Become(path, inv.Argv)
	}
	if store.BootID, err = system.BootID(); err != nil {
		return 1, err
	}
	ledger, err := store.Peek()
	if err != nil {
		return 1, fmt.Errorf("exec into container %s could run real-time: %w", inv.ID, err)
	}
	if ledger.Grant(shield.Key{Root: stateRoot(inv.Root, path), ID: inv.ID}) == nil {
		return 1, delegate.Become(path, inv.Argv)
	}
	data, err := readProcess(inv.Process)
	if err != nil { // the delegate has its own words for this
		return 1, delegate.Become(path, inv.Argv)
	}
	if demoted, err := spec.Demote(data); err == nil {
		data = demoted
	}
	file, err := inMemory("process", data)
	if err != nil {
		return 1, err
	}
	// Far above what --preserve-fds counts; the delegate keeps all but those from the container.
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD, 1000)
	if err != nil {
		return 1, fmt.Errorf("process for the delegate: %w", err)
	}
	return 1, delegate.Become(path, inv.Replace("process", fmt.Sprintf("/proc/self/fd/%d", fd)))
}

// maxProcess bounds what is read of a process's JSON. Real ones are below 20 kB.
const maxProcess = 4 << 20

func readProcess(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxProcess))
}

// inMemory gives a file that stands on no disk, at its start. It closes on exec.
func inMemory(what string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(what, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%s for the delegate: %w", what, err)
	}
	file := os.NewFile(uintptr(fd), what)
	_, err = file.Write(data)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s for the delegate: %w", what, err)
	}
	return file, nil
}
