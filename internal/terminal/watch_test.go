package terminal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen collects what a terminal is told.
type screen struct {
	sync.Mutex
	text strings.Builder
}

func record(other *os.File) *screen {
	s := &screen{}
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := other.Read(chunk)
			s.Lock()
			s.text.Write(chunk[:n])
			s.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// until waits until the terminal was told something, and gives all that it was.
func (s *screen) until(t *testing.T, words string) string {
	t.Helper()
	for start := time.Now(); time.Since(start) < 20*time.Second; time.Sleep(time.Millisecond) {
		s.Lock()
		text := s.text.String()
		s.Unlock()
		if strings.Contains(text, words) {
			return text
		}
	}
	t.Fatalf("no %q in %q", words, s.text.String())
	return ""
}

func TestAWatchGivesTheTerminalBackHoweverItEnds(t *testing.T) {
	broken := errors.New("no ledger")
	for name, c := range map[string]struct {
		end  func(page Page) error
		want error
	}{
		"Ctrl-C":      {func(Page) error { return unix.Kill(os.Getpid(), unix.SIGINT) }, nil},
		"SIGTERM":     {func(Page) error { return unix.Kill(os.Getpid(), unix.SIGTERM) }, Ended{unix.SIGTERM}},
		"an error":    {func(Page) error { return broken }, broken},
		"Ctrl-C soon": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file, other := pty(t, 80)
			shown := record(other)
			draws := 0
			err := Watch(file, time.Millisecond, func(page Page) error {
				draws++
				if page.Width != 80 || !page.Wrap {
					t.Errorf("the page is %+v", page)
				}
				fmt.Fprintf(page, "picture %d\n", draws)
				switch {
				case c.end == nil:
					return unix.Kill(os.Getpid(), unix.SIGINT)
				case draws == 3:
					return c.end(page)
				}
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("ended with %v, want %v", err, c.want)
			}
			text := shown.until(t, leave)
			if !strings.HasPrefix(text, enter) || !strings.HasSuffix(text, leave) || strings.Count(text, leave) != 1 {
				t.Errorf("the terminal was told %q", text)
			}
			if c.end != nil && (!strings.Contains(text, "\x1b[Hpicture 1\x1b[K\x1b[J") || !strings.Contains(text, "\x1b[Hpicture 2")) {
				t.Errorf("not drawn twice: %q", text)
			}
		})
	}
}

func TestAWatchDrawsAnewWhenTheTerminalChangesItsSize(t *testing.T) {
	file, other := pty(t, 80)
	shown := record(other)
	var widths []int
	err := Watch(file, time.Hour, func(page Page) error {
		widths = append(widths, page.Width)
		if len(widths) == 2 {
			return unix.Kill(os.Getpid(), unix.SIGINT)
		}
		err := unix.IoctlSetWinsize(int(other.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 70, Row: 24})
		return errors.Join(err, unix.Kill(os.Getpid(), unix.SIGWINCH)) // this test is not the terminal's foreground
	})
	if err != nil || len(widths) != 2 || widths[0] != 80 || widths[1] != 70 {
		t.Errorf("%v, drawn %v columns wide", err, widths)
	}
	shown.until(t, leave)
}

func TestWhatIsHigherThanTheTerminalIsCutWithAWord(t *testing.T) {
	file, other := pty(t, 80)
	shown := record(other)
	t.Setenv("NO_COLOR", "1")
	err := Watch(file, time.Hour, func(page Page) error {
		for i := range 30 {
			fmt.Fprintf(page, "line %d\n", i)
		}
		return unix.Kill(os.Getpid(), unix.SIGINT)
	})
	if err != nil {
		t.Fatal(err)
	}
	text := shown.until(t, leave)
	if !strings.Contains(text, "line 22\x1b[K\r\n… 7 more lines\x1b[K") || strings.Contains(text, "line 23") {
		t.Errorf("24 lines of 30: %q", text)
	}
}
