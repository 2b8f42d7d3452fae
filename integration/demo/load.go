package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// load is work that competes for the CPUs: children of the demo, SCHED_OTHER.
type load struct {
	children []*exec.Cmd
	what     string
}

// startLoad starts this program again, once for each kind of work. dir takes the
// file that is written.
func startLoad(dir string) (*load, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	busy := 2 * runtime.NumCPU()
	l := &load{what: fmt.Sprintf("%d busy loops, a memory copier and a file writer", busy)}
	kinds := []string{"copy", "write"}
	for range busy {
		kinds = append(kinds, "busy")
	}
	for _, kind := range kinds {
		cmd := exec.Command(self, "load", kind, dir)
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // one kind, one runnable thread
		cmd.Stderr = os.Stderr
		// Not in our process group, so that Ctrl-C leaves the order of
		// cleaning up to us; and gone with us even after SIGKILL.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			l.stop()
			return nil, fmt.Errorf("load: %w", err)
		}
		l.children = append(l.children, cmd)
	}
	return l, nil
}

func (l *load) stop() {
	for _, cmd := range l.children {
		_ = cmd.Process.Kill()
	}
	for _, cmd := range l.children {
		_ = cmd.Wait() // "signal: killed" is what we want
	}
	l.children = nil
}

// work is what a child does until it is killed.
func work(kind, dir string) error {
	switch kind {
	case "busy":
		for x := uint64(1); ; x = x*6364136223846793005 + 1442695040888963407 {
			_ = x
		}
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

// writeFiles makes the block device interrupt somebody: a MiB to the disk, a pause
// so that a slow disk is not all there is, and again.
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
