package delegate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRunExitCode(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -9 $$": 137, "kill -TERM $$": 143} {
		code, err := Run("/bin/sh", []string{"rtshield", "-c", script}, os.Environ())
		if err != nil || code != want {
			t.Errorf("%s: %d, %v; want %d", script, code, err, want)
		}
	}
	if code, err := Run("/nosuch", nil, nil); code != -1 || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nosuch") {
		t.Errorf("no such program: %d, %v", code, err)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid > 0 {
		t.Errorf("child %d was left unreaped (%v)", pid, err)
	}
}

// start runs the script and waits until it says "ready"; the rest of its output comes from the reader.
func start(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	reader := bufio.NewReader(out)
	if line, err := reader.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return reader
}

const waitForSignal = `; echo ready; i=0; while [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done; exit 1`

func TestRunForwardsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1,
		syscall.SIGWINCH, syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGCONT, 40} {
		t.Run(unix.SignalName(sig)+strconv.Itoa(int(sig)), func(t *testing.T) {
			t.Parallel()
			// Caught here it is not ignored by the child, whatever it was when the tests were started (nohup).
			caught := make(chan os.Signal, 1)
			signal.Notify(caught, sig)
			defer signal.Stop(caught)
			cmd := helper(t, "run", "", fmt.Sprintf("trap 'exit 42' %d", sig)+waitForSignal)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as an engine: no terminal
			start(t, cmd)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 42 {
				t.Errorf("ended with %v, want the child's 42", err)
			}
		})
	}
}

// Under nohup the child must stay deaf to it, too.
func TestRunKeepsIgnoredSignals(t *testing.T) {
	got := output(t, helper(t, "run", "trap '' HUP", `grep SigIgn /proc/$$/status`))
	mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(got, "SigIgn:")), 16, 64)
	if err != nil || mask&1 == 0 {
		t.Errorf("SIGHUP is not ignored: %s %v", got, err)
	}
}

// Ctrl-C reaches the child once, from the terminal, and not again from us.
func TestRunAtTerminal(t *testing.T) {
	master, slave := openPTY(t)
	cmd := helper(t, "run", "", `n=0; trap 'n=$((n+1))' INT; echo ready; i=0; while [ $i -lt 20 ]; do sleep 0.05; i=$((i+1)); done; echo count $n`)
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	out := start(t, cmd)
	time.Sleep(100 * time.Millisecond)
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil || string(rest) != "count 1\n" {
		t.Errorf("got %q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}
