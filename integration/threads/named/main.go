// Command named is a program of named threads, for containers with rules for them. It is started by integration/threads, as
//
//	named DIR
//
// It has threads ctl-0, io-0, log, and own, which raises itself as the program of a realtime-mask may, and says in DIR/own what
// came of it. SIGUSR1 makes four more, which call themselves ctl-late and add to DIR/late how long they waited until they were
// real-time on one CPU; then plain, and how long until they were ordinary. SIGUSR2 makes one that calls itself ctl-spin and
// spins for some seconds.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	late     = 4
	patience = 2 * time.Second
	spinning = 5 * time.Second
)

var dir string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: named DIR (started by integration/threads)")
		os.Exit(2)
	}
	dir = os.Args[1]
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2)
	for _, name := range []string{"ctl-0", "io-0", "log"} {
		go thread(name, func() { select {} })
	}
	go thread("own", func() {
		say("own", fmt.Sprint(raise()))
		select {}
	})
	for received := range signals {
		if received == unix.SIGUSR2 {
			go thread("ctl-spin", spin)
			continue
		}
		var all sync.WaitGroup
		for range late {
			all.Add(1)
			go thread("ctl-late", func() {
				say("late", fmt.Sprint(wait(unix.SCHED_FIFO)))
				rename("plain")
				say("late", fmt.Sprint(wait(unix.SCHED_NORMAL)))
				all.Done()
				select {}
			})
		}
		go func() {
			all.Wait()
			say("late", "all")
		}()
	}
}

// thread runs what on a thread of this name for ever.
func thread(name string, what func()) {
	runtime.LockOSThread()
	rename(name)
	what()
}

func rename(name string) {
	text := append([]byte(name), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text[0])), 0, 0, 0); err != nil {
		panic(err)
	}
}

// raise does what a program does that has its real-time part to itself.
func raise() error {
	var cpus unix.CPUSet
	for part := range strings.SplitSeq(os.Getenv("RTSHIELD_RT_CPUS"), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if err := errors.Join(errFrom, errTo); err != nil {
			return err
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return err
	}
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 30}, 0)
}

// wait gives how long it took until this thread had a policy, and one CPU.
func wait(policy uint32) time.Duration {
	for begun := time.Now(); ; {
		attr, err := unix.SchedGetAttr(0, 0)
		var cpus unix.CPUSet
		err = errors.Join(err, unix.SchedGetaffinity(0, &cpus))
		if took := time.Since(begun); took > patience || err == nil && attr.Policy == policy && cpus.Count() == 1 {
			return took
		}
		pause := unix.NsecToTimespec(int64(200 * time.Microsecond))
		_ = unix.Nanosleep(&pause, nil)
	}
}

func spin() {
	for begun := time.Now(); time.Since(begun) < spinning; {
	}
	select {}
}

var saying sync.Mutex

func say(file, text string) {
	saying.Lock()
	defer saying.Unlock()
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, text)
	f.Close()
}
