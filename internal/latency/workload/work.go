package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// verb is the word that makes a program one piece of the load. It is for the program itself alone.
const verb = "latency-load"

// Is says whether the arguments are those of a piece of the load.
func Is(args []string) bool { return len(args) == 4 && args[0] == verb }

// Main is its life: until it is killed.
func Main(args []string) int {
	threads, err := strconv.Atoi(args[2])
	if err == nil {
		err = work(args[1], threads, args[3])
	}
	fmt.Fprintln(os.Stderr, "load:", err)
	return 1
}

func work(kind string, threads int, dir string) error {
	switch kind {
	case "busy":
		return each(threads, func(int) error {
			for x := uint64(1); ; x = x*6364136223846793005 + 1442695040888963407 {
				_ = x
			}
		})
	case "talk":
		return talk(threads)
	case "copy":
		// More than the caches hold, so that memory bandwidth is under load, too.
		from, to := make([]byte, 64<<20), make([]byte, 64<<20)
		for {
			copy(to, from)
		}
	case "write":
		return writeFiles(filepath.Join(dir, "written"))
	}
	return fmt.Errorf("no load of the kind %q", kind)
}

// each does the work in so many threads, and ends with the first error.
func each(threads int, do func(i int) error) error {
	failed := make(chan error)
	for i := range threads {
		go func() {
			runtime.LockOSThread()
			failed <- do(i)
		}()
	}
	return <-failed
}

// talk keeps the scheduler at work, as hackbench does: two threads of each pair wake each other in turns.
func talk(threads int) error {
	pipes := make([][2]int, threads)
	for i := range pipes {
		if err := syscall.Pipe(pipes[i][:]); err != nil {
			return err
		}
	}
	return each(threads, func(i int) error {
		from, to := pipes[i][0], pipes[i^1][1]
		for first := i&1 == 0; ; first = false {
			if !first {
				if err := pass(syscall.SYS_READ, from); err != nil {
					return err
				}
			}
			if err := pass(syscall.SYS_WRITE, to); err != nil {
				return err
			}
		}
	})
}

// pass moves a byte without telling Go's scheduler, which would wake other threads of its own.
func pass(call uintptr, fd int) error {
	var message [1]byte
	for {
		_, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&message)), 1)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return errno
		}
	}
}

// writeFiles makes the block device interrupt somebody: a MiB to the disk, a pause so that a slow disk is not all there is,
// and again.
func writeFiles(path string) error {
	block := make([]byte, 1<<20)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := f.WriteAt(block, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
