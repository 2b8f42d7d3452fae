package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLogsAreWhatItPrinted(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, "sh", "-c", tell+"; echo err >&2; exit 4")
	if code := ok(t, "wait", c.id); code != "4" {
		t.Errorf("it ended with %s", code)
	}
	r := docker(t, "logs", c.id)
	if got := told(t, r.stdout); got != fifo() {
		t.Errorf("it ran %s, want %s", got, fifo())
	}
	if strings.Count(r.stdout, "\n") != 2 || r.stderr != "err\n" {
		t.Error(r) // nothing of ours among it
	}
}

func TestStdinGoesThrough(t *testing.T) {
	unchanged(t)
	// More than a pipe holds, and to its end.
	sent := strings.Repeat("0123456789abcde\n", 20_000)
	r := engine.cliWith(strings.NewReader(sent), args("rtshield-fifo", "-i", "--rm", img, "sh", "-c", "cat; "+tell)...)
	back, rest := r.stdout[:min(len(sent), len(r.stdout))], r.stdout[min(len(sent), len(r.stdout)):]
	if r.err != nil || r.code != 0 || back != sent {
		t.Fatalf("%v, exit status %d, %d bytes of %d, stderr %q", r.err, r.code, len(back), len(sent), r.stderr)
	}
	if got := told(t, rest); got != fifo() {
		t.Errorf("it ran %s, want %s", got, fifo())
	}
}

func TestAttachTalksToItsFirstProcess(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", "-i", img, "sh", "-c", "read line; echo got $line; sleep 0.3; exit 6")
	// Kept open: docker attach loses the answer when its stdin ends first, also under runc.
	stdin, keyboard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer keyboard.Close()
	scheduled(t, c, fifo())
	if _, err := keyboard.WriteString("a line\n"); err != nil {
		t.Fatal(err)
	}
	r := engine.cliWith(stdin, "attach", c.id)
	if r.err != nil || r.code != 6 || r.stdout != "got a line\n" {
		t.Errorf("%v %v", r.err, r)
	}
}

func TestPauseHoldsTheGrantAndUnpauseGivesThePolicyBack(t *testing.T) {
	unchanged(t)
	c := start(t, "rtshield-fifo", img, loop)
	ok(t, "pause", c.id)
	if status := c.inspect(t, ".State.Status"); status != "paused" {
		t.Errorf("it is %s", status)
	}
	refused(t, docker(t, args("rtshield-fifo", "--rm", img, "true")...), c.short())
	ok(t, "unpause", c.id)
	scheduled(t, c, fifo())
	ok(t, "pause", c.id)
	ok(t, "rm", "-f", c.id) // also from there
}

func TestATerminalWorks(t *testing.T) {
	unchanged(t)
	master, slave := terminal(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := engine.command(ctx, args("rtshield-fifo", "-it", "--rm", img, "sh")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	if _, err := master.WriteString( // docker tells the size some time after the start.
		`until [ "$(stty size 2>/dev/null)" ]; do sleep 0.1; done; stty size; ` + tell + "; exit 3\n"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, _ = io.Copy(&out, master) // ends with EIO when the last one has closed the terminal
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit status %d", code)
	}
	text := strings.ReplaceAll(out.String(), "\r", "")
	if !strings.Contains(text, "\n33 111\n") {
		t.Errorf("the container's terminal has not 33 lines and 111 columns:\n%s", text)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "Cpus_allowed_list:") && i+1 < len(lines) {
			if got := told(t, line+"\n"+lines[i+1]); got != fifo() {
				t.Errorf("it runs %s, want %s", got, fifo())
			}
			return
		}
	}
	t.Errorf("no Cpus_allowed_list in\n%s", text)
}

// terminal makes a pair (pty(7)) of 33 lines and 111 columns.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
