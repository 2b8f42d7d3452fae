// Command loop wants every CPU: it spins while it is told to, and notes each CPU that it finds itself on. It is started by
// integration/hog, as
//
//	loop FILE SLOT plain|stubborn|forking|once
//
// FILE is shared by all. Its first word says whether to spin: 0 is rest, other numbers count the times; word 64 times that,
// plus SLOT, holds the CPUs that this loop has seen meanwhile. One that is interrupted between looking and noting, for
// however long, notes it where it belongs. A stubborn loop asks for all CPUs again and again; a forking one starts others, of which each runs once, for a moment.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { runtime.LockOSThread() }

func main() {
	debug.SetGCPercent(-1)
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: loop FILE SLOT plain|stubborn|forking|once (started by integration/hog)")
		os.Exit(2)
	}
	file, mode := os.Args[1], os.Args[3]
	slot, err := strconv.Atoi(os.Args[2])
	check(err)
	words, err := shared(file)
	check(err)
	everywhere := &unix.CPUSet{}
	everywhere.Fill()
	until := time.Now().Add(40 * time.Millisecond)
	for round := 0; mode != "once" || time.Now().Before(until); round++ {
		turn := atomic.LoadUint64(&words[0])
		if turn == 0 && mode != "once" {
			pause := unix.NsecToTimespec(int64(20 * time.Millisecond))
			_ = unix.Nanosleep(&pause, nil)
			continue
		}
		switch {
		case mode == "forking":
			_ = exec.Command("/proc/self/exe", file, os.Args[2], "once").Run()
		case mode == "stubborn" && round%64 == 0:
			_ = unix.SchedSetaffinity(0, everywhere) // refused where the cpuset has none of them
		}
		if turn > 0 {
			atomic.OrUint64(&words[64*int(turn)+slot], 1<<cpu())
		}
		spin()
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "loop:", err)
		os.Exit(1)
	}
}

func shared(path string) ([]uint64, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(&data[0])), len(data)/8), nil
}

func cpu() uint32 {
	var number uint32
	_, _, _ = syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&number)), 0, 0)
	return number
}

var sink int

func spin() {
	for i := range 20000 {
		sink += i
	}
}
