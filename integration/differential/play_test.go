package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// patience bounds every wait of a step.
const patience = 15 * time.Second

// id is the container of a life; a life that makes more names them in its own words.
const id = "c"

// facts are what a life has shown, by name. A name begins with the step that showed it.
type facts map[string]string

// player plays one life with one program.
type player struct {
	*rig.Rig
	// program is called as an engine calls its runtime.
	program string
	// dir is the life's own directory, the same for each program, so that no path differs. bundle is in it.
	dir, bundle string
	facts       facts
	step        string
	// said are the commands of this life that failed, each with its stderr.
	said []string
}

// step is one act of a life.
type step struct {
	name string
	do   func(p *player)
}

// call says how a command line is run.
type call struct {
	// words are the command line behind `program --root ROOT --log LOG`, split at spaces; ~ is a space within a word, $N a new line. $D is the
	// life's directory, $B its bundle.
	words string
	// in is the directory to run in, stdin what is read there.
	in, stdin string
	// files are opened from the third descriptor on, with these names in $D.
	files []string
	// tty gives it a terminal for stdin, stdout and stderr.
	tty bool
	// socket listens on $D/socket for the terminal of a container, and reads it until it is closed.
	socket bool
	// bare leaves --root and --log out.
	bare bool
	// later is done before the terminal's end is waited for.
	later []step
}

func run(words string) step { return call{words: words}.step() }

func (c call) step() step { return step{c.words, c.do} }

func (c call) do(p *player) {
	p.Helper()
	expand := func(text string) string {
		return strings.NewReplacer("$D", p.dir, "$B", p.bundle, "$N", "\n", "~", " ").Replace(text)
	}
	log := filepath.Join(p.dir, "log")
	args := []string{"--root", p.Root, "--log", log, "--log-format", "json"}
	if c.bare {
		args = nil
	}
	for word := range strings.FieldsSeq(c.words) {
		args = append(args, expand(strings.ReplaceAll(word, "''", "")))
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("it took too long"))
	defer cancel()
	cmd := p.Command(ctx, p.program, args...)
	cmd.Dir = p.dir
	if c.in != "" {
		cmd.Dir = expand(c.in)
	}
	for _, name := range c.files {
		cmd.ExtraFiles = append(cmd.ExtraFiles, p.create(name))
	}
	var terminal, console <-chan string
	if c.socket {
		console = p.listen()
	}
	if c.tty {
		terminal = p.terminal(cmd)
	} else {
		cmd.Stdin = strings.NewReader(c.stdin)
		if c.stdin == "" {
			cmd.Stdin = nil
		}
		cmd.Stdout, cmd.Stderr = p.create("stdout"), p.create("stderr") // no pipes: a container keeps them open
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatalf("%s %v: %v", p.program, args, err)
	}
	if ctx.Err() != nil {
		p.Errorf("%s %v: %v", p.program, args, context.Cause(ctx))
	}
	for _, file := range cmd.ExtraFiles {
		_ = file.Close()
	}
	p.fact("exit status", fmt.Sprint(cmd.ProcessState.ExitCode()))
	if c.tty {
		_ = cmd.Stdin.(*os.File).Close()
		p.fact("terminal", <-terminal)
	} else {
		for _, name := range []string{"stdout", "stderr"} {
			p.fact(name, plain(p.read(name)))
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		p.said = append(p.said, fmt.Sprintf("%s: exit status %d: %s", c.words, code, strings.TrimSpace(p.read("stderr"))))
	}
	for _, name := range c.files {
		p.fact("file "+name, p.read(name))
	}
	p.fact("log", plain(p.read("log")))
	_ = os.Remove(log)
	p.adopt("pid")
	at := p.step
	p.play(c.later)
	if p.step = at; c.socket {
		p.fact("console", <-console)
	}
}

// play does one step after the other.
func (p *player) play(steps []step) {
	p.Helper()
	above := p.step
	for i, step := range steps {
		p.step = fmt.Sprintf("%s%02d %s", above, i+1, step.name)
		step.do(p)
	}
	p.step = above
}

// adopt reaps the process of a pid file, as a shim does, and notes that there is one.
func (p *player) adopt(name string) {
	path := filepath.Join(p.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		p.fact(name+" file", "none")
		return
	}
	p.fact(name+" file", fmt.Sprintf("a number and %q", strings.TrimLeft(string(text), "0123456789")))
	p.Adopt(path)
}

func (p *player) fact(name, value string) {
	key := p.step + ": " + name
	if before, known := p.facts[key]; known {
		value = before + "\n" + value
	}
	p.facts[key] = value
}

func (p *player) create(name string) *os.File {
	p.Helper()
	_ = os.Remove(filepath.Join(p.dir, name)) // a container of the step before may still write into it
	file, err := os.Create(filepath.Join(p.dir, name))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = file.Close() })
	return file
}

// read gives a file of the life's directory, "" without one.
func (p *player) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(p.dir, name))
	return string(text)
}

// terminal gives a command a terminal of its own, and what was printed on it.
func (p *player) terminal(cmd *exec.Cmd) <-chan string {
	p.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111})
	}
	if err != nil {
		p.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return drain(master)
}

// drain reads a terminal until its last user has closed it.
func drain(master *os.File) <-chan string {
	text := make(chan string, 1)
	go func() {
		defer master.Close()
		var out bytes.Buffer
		_, _ = io.Copy(&out, master) // ends with EIO
		text <- plain(strings.ReplaceAll(out.String(), "\r", ""))
	}()
	return text
}

// listen is an engine that waits for the terminal of a container, as --console-socket has it.
func (p *player) listen() <-chan string {
	p.Helper()
	path := filepath.Join(p.dir, "socket")
	_ = os.Remove(path)
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		p.Fatal(err)
	}
	_ = socket.SetDeadline(time.Now().Add(patience))
	result := make(chan string, 1)
	go func() {
		defer socket.Close()
		master, err := receive(socket)
		if err != nil {
			result <- err.Error()
			return
		}
		result <- <-drain(master)
	}()
	return result
}

// receive takes the descriptor that a runtime sends.
func receive(socket *net.UnixListener) (*os.File, error) {
	conn, err := socket.AcceptUnix()
	if err != nil {
		return nil, errors.New("nobody came")
	}
	defer conn.Close()
	data, control := make([]byte, 4096), make([]byte, 4096)
	_, n, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("%d messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}

// waits until a container is in this state, as plain runc tells it.
func waits(status string) step {
	return step{"it is " + status, func(p *player) {
		p.Helper()
		p.Eventual(func() error {
			if now := p.state(id).Status; now != status {
				return fmt.Errorf("container %s is %q, want %q; %s:\n%s", id, now, status, p.program, strings.Join(p.said, "\n"))
			}
			return nil
		})
	}}
}

// startsAndEnds starts a container that ends at once, whatever the runtime sees of that.
func (p *player) startsAndEnds() {
	p.Helper()
	p.Program(p.program, "--root", p.Root, "start", id)
	p.Eventual(func() error {
		if now := p.state(id).Status; now != "stopped" && now != "" {
			return fmt.Errorf("container %s is %q, and should have ended", id, now)
		}
		return nil
	})
}

// puts writes a file of the life.
func puts(name, text string) step {
	return step{"a file " + name, func(p *player) {
		p.Helper()
		text := strings.ReplaceAll(text, "$D", p.dir)
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			p.Fatal(err)
		}
	}}
}

// shows notes a file that the life has written, of the container's root file system too (rootfs/…).
func shows(name string) step {
	return step{"what it wrote", func(p *player) { p.fact(name, plain(p.read(name))) }}
}
