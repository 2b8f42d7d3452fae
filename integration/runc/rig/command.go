package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rtshield/rtshield/internal/shield"
)

// patience bounds every wait. Nothing here takes more than a second by itself, but one may wait for the ledger's lock.
const patience = shield.LockWait + 20*time.Second

// Result is what one command said.
type Result struct {
	Args           []string
	Stdout, Stderr string
	// Code is the exit status, -1 if a signal ended it.
	Code int
}

func (r Result) String() string {
	return fmt.Sprintf("%s: exit status %d\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// Shield runs rtshield with arguments as they are.
func (r *Rig) Shield(args ...string) Result { r.Helper(); return r.runIn("", r.Rtshield, args...) }

// OCI runs rtshield below the rig's root: `rtshield --root ROOT args`.
func (r *Rig) OCI(args ...string) Result {
	r.Helper()
	return r.runIn("", r.Rtshield, append([]string{"--root", r.Root}, args...)...)
}

// Plain runs the delegate itself, below the same root.
func (r *Rig) Plain(args ...string) Result {
	r.Helper()
	return r.runIn("", r.Runc, append([]string{"--root", r.Root}, args...)...)
}

// Feed is OCI with text on stdin, through a pipe as engines do it; FeedPlain the same with the delegate itself.
func (r *Rig) Feed(text string, args ...string) Result {
	r.Helper()
	return r.run("", text, r.Rtshield, append([]string{"--root", r.Root}, args...)...)
}

// FeedPlain is Plain with text on stdin.
func (r *Rig) FeedPlain(text string, args ...string) Result {
	r.Helper()
	return r.run("", text, r.Runc, append([]string{"--root", r.Root}, args...)...)
}

// Program runs any program.
func (r *Rig) Program(path string, args ...string) Result {
	r.Helper()
	return r.runIn("", path, args...)
}

// Must fails the test unless the command succeeded.
func (r *Rig) Must(res Result) Result {
	r.Helper()
	if res.Code != 0 {
		r.Fatal(res)
	}
	return res
}

// Command prepares a command in the rig's environment.
func (r *Rig) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), r.Env...)
	return cmd
}

// runIn gives the command files and no pipes: a container that it starts keeps them open.
func (r *Rig) runIn(dir, path string, args ...string) Result {
	r.Helper()
	return r.run(dir, "", path, args...)
}

func (r *Rig) run(dir, stdin, path string, args ...string) Result {
	r.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("it took too long"))
	defer cancel()
	cmd := r.Command(ctx, path, args...)
	cmd.Dir = dir
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	res := Result{Args: append([]string{filepath.Base(path)}, args...)}
	var files [2]*os.File
	for i := range files {
		file, err := os.CreateTemp(r.Dir, "output-")
		if err != nil {
			r.Error(err)
			return Result{Args: res.Args, Code: -1}
		}
		defer os.Remove(file.Name())
		defer file.Close()
		files[i] = file
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	err := cmd.Run()
	for i, text := range []*string{&res.Stdout, &res.Stderr} {
		data, _ := os.ReadFile(files[i].Name())
		*text = string(data)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		res.Code = exit.ExitCode()
		if ctx.Err() != nil {
			res.Stderr += context.Cause(ctx).Error()
		}
	case err != nil:
		res.Code, res.Stderr = -1, err.Error()
	}
	return res
}
