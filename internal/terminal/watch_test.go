package terminal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/terminal/pty"
)

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
			screen := pty.Open(t, 80)
			draws := 0
			err := Watch(screen.File, time.Millisecond, func(page Page) error {
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
			text := screen.Until(t, leave, 1)
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
	screen := pty.Open(t, 80)
	var widths []int
	err := Watch(screen.File, time.Hour, func(page Page) error {
		widths = append(widths, page.Width)
		if len(widths) == 2 {
			return unix.Kill(os.Getpid(), unix.SIGINT)
		}
		return errors.Join(screen.Resize(70), unix.Kill(os.Getpid(), unix.SIGWINCH)) // this test is not the terminal's foreground
	})
	if err != nil || len(widths) != 2 || widths[0] != 80 || widths[1] != 70 {
		t.Errorf("%v, drawn %v columns wide", err, widths)
	}
	screen.Until(t, leave, 1)
}

func TestWhatIsHigherThanTheTerminalIsCutWithAWord(t *testing.T) {
	screen := pty.Open(t, 80)
	t.Setenv("NO_COLOR", "1")
	err := Watch(screen.File, time.Hour, func(page Page) error {
		for i := range 30 {
			fmt.Fprintf(page, "line %d\n", i)
		}
		return unix.Kill(os.Getpid(), unix.SIGINT)
	})
	if err != nil {
		t.Fatal(err)
	}
	text := screen.Until(t, leave, 1)
	if !strings.Contains(text, "line 22\x1b[K\r\n… 7 more lines\x1b[K") || strings.Contains(text, "line 23") {
		t.Errorf("24 lines of 30: %q", text)
	}
}
