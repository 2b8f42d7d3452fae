package terminal

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Private modes of terminals (xterm's names): the screen that editors use, so that what was there before comes back; no
// cursor; no line that goes on in the next.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Watch draws on a terminal at once, at each interval and when its size changes, until a signal ends it: nil for SIGINT, as of
// Ctrl-C. Then, and however else it ends, the terminal is as it was. What does not fit its height is left out.
func Watch(file *os.File, interval time.Duration, draw func(Page) error) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH, unix.SIGTSTP)
	defer signal.Stop(signals)
	if err := put(file, enter); err != nil {
		return err
	}
	defer put(file, leave) //nolint:errcheck // a terminal that is gone needs nothing
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := frame(file, draw); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case got := <-signals:
			switch got {
			case unix.SIGINT:
				return nil
			case unix.SIGTSTP:
				if err := suspend(file); err != nil {
					return err
				}
			case unix.SIGWINCH:
			default:
				return Ended{got.(syscall.Signal)}
			}
		}
	}
}

// Ended is why a watch ended that nobody ended by Ctrl-C.
type Ended struct{ Signal syscall.Signal }

func (e Ended) Error() string { return "ended by " + unix.SignalName(e.Signal) }

// suspend gives the terminal back while the shell has it (Ctrl-Z).
func suspend(file *os.File) error {
	if err := put(file, leave); err != nil {
		return err
	}
	if err := unix.Kill(os.Getpid(), unix.SIGSTOP); err != nil {
		return err
	}
	return put(file, enter)
}

// frame draws once, from the upper left corner, over what is there: a screen that is emptied first would flicker.
func frame(file *os.File, draw func(Page) error) error {
	var text bytes.Buffer
	page := To(file)
	page.Writer = &text
	if err := draw(page); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if _, height, known := Size(file); known && len(lines) > height {
		left := len(lines) - height + 1
		lines = append(lines[:height-1], page.Paint(Faint, fmt.Sprintf("… %d more lines", left)))
	}
	const rest, below = "\x1b[K", "\x1b[J" // what was there before: of the line, and of the screen
	return put(file, "\x1b[H"+strings.Join(lines, rest+"\n")+rest+below)
}

func put(file *os.File, text string) error {
	_, err := file.WriteString(text)
	return err
}
