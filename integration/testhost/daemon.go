package testhost

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Daemon is an engine's own process, in a place.
type Daemon struct {
	*Place
	// Env is added to its environment, and so to that of the runtimes that it calls.
	Env    []string
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{} // closed then
}

// NewDaemon opens the log. Nothing runs yet.
func NewDaemon(place *Place) (*Daemon, error) {
	log, err := os.Create(place.Path("daemon.log"))
	return &Daemon{Place: place, log: log}, err
}

// Run starts it; it answers a little later. Its directory is first in PATH. It ends with the thread that called: see
// runtime.LockOSThread.
func (d *Daemon) Run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH")), d.Env...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	// Ctrl-C is for us; and it ends with us, also in a panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	return nil
}

// Kill9 ends it as a crash does. What waits for its containers lives on. Twice is no error.
func (d *Daemon) Kill9() {
	_ = d.cmd.Process.Kill()
	<-d.exited
}

// Stop ends it, if it runs.
func (d *Daemon) Stop() {
	if d.cmd != nil {
		d.Kill9()
	}
	_ = d.log.Close()
}

// LastWords are the end of its log.
func (d *Daemon) LastWords() string {
	text, _ := os.ReadFile(d.Path("daemon.log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
