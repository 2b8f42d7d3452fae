// Package pty gives tests a terminal, and what it was told.
package pty

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is one end, for the program under test; Keyboard the other.
type Terminal struct {
	*os.File
	Keyboard *os.File
	mutex    sync.Mutex
	told     strings.Builder
}

// Open makes a terminal of so many columns and 24 lines. Zero columns: one that does not know its size.
func Open(tb testing.TB, columns uint16) *Terminal {
	tb.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		tb.Fatal(err)
	}
	file, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { file.Close() })
	terminal := &Terminal{File: file, Keyboard: keyboard}
	if err := terminal.Resize(columns); err != nil {
		tb.Fatal(err)
	}
	go terminal.record()
	return terminal
}

// Resize gives it another width. Only a program whose terminal it is hears of that.
func (t *Terminal) Resize(columns uint16) error {
	return unix.IoctlSetWinsize(int(t.Keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24})
}

func (t *Terminal) record() {
	chunk := make([]byte, 4096)
	for {
		n, err := t.Keyboard.Read(chunk)
		t.mutex.Lock()
		t.told.Write(chunk[:n])
		t.mutex.Unlock()
		if err != nil {
			return
		}
	}
}

// Told is all that it was told so far.
func (t *Terminal) Told() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.told.String()
}

// Until waits until it was told some words so many times, and gives all that it was.
func (t *Terminal) Until(tb testing.TB, words string, times int) string {
	tb.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(time.Millisecond) {
		if told := t.Told(); strings.Count(told, words) >= times {
			return told
		}
	}
	tb.Fatalf("the terminal was not told %q %d times: %q", words, times, t.Told())
	return ""
}
