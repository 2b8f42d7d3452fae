package docker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long one docker command may take.
const patience = 40 * time.Second

// result is what a command has left.
type result struct {
	args           []string
	stdout, stderr string
	code           int
	err            error // it did not run, or not to its end
}

func (r result) String() string {
	return fmt.Sprintf("docker %s: exit status %d\nstdout: %s\nstderr: %s",
		strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

func (r result) succeeded() (string, error) {
	if r.err != nil || r.code != 0 {
		return "", errors.Join(r.err, errors.New(r.String()))
	}
	return strings.TrimSpace(r.stdout), nil
}

func (d *daemon) cli(args ...string) result { return d.cliWith(nil, args...) }

func (d *daemon) cliWith(stdin io.Reader, args ...string) result {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no end within %v", patience))
	defer cancel()
	cmd := d.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		r.err = err
	}
	if ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r
}

func (d *daemon) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"-H", d.socket()}, args...)...)
	// Nothing of the person's who runs the tests: no config.json, no DOCKER_HOST.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.Dir, "DOCKER_CONFIG=" + d.path("cli")}
	cmd.WaitDelay = time.Second
	return cmd
}

// docker runs a command that may fail.
func docker(t *testing.T, args ...string) result {
	t.Helper()
	r := engine.cli(args...)
	if r.err != nil {
		t.Fatalf("%v\n%v\n%s", r.err, r, engine.lastWords())
	}
	return r
}

// ok runs a command that has to succeed, and gives its output.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	out, err := engine.cli(args...).succeeded()
	if err != nil {
		t.Fatalf("%v\n%s", err, engine.lastWords())
	}
	return out
}

// refused checks that a `docker run` failed as Docker does when the runtime says no, with all of the words.
func refused(t *testing.T, r result, words ...string) {
	t.Helper()
	if r.code != 125 {
		t.Fatalf("not refused: %v", r)
	}
	if !strings.Contains(r.stderr, "rtshield: ") {
		t.Errorf("not refused by rtshield: %v", r)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("the refusal does not say %q: %v", word, r)
		}
	}
}

// args are those of `docker run` with this runtime.
func args(runtime string, rest ...string) []string {
	return append([]string{"run", "--net=none", "--runtime=" + runtime}, rest...)
}

// container is one that was started with -d.
type container struct{ id string }

// start starts one in the background and removes it after the test.
func start(t *testing.T, runtime string, rest ...string) container {
	t.Helper()
	return adopt(t, ok(t, args(runtime, append([]string{"-d"}, rest...)...)...))
}

func adopt(t *testing.T, id string) container {
	t.Helper()
	t.Cleanup(func() {
		// Whatever has become of it. One that is gone already is no error for rm -f.
		if r := engine.cli("rm", "-f", id); r.err != nil || r.code != 0 && !strings.Contains(r.stderr, "No such container") {
			t.Errorf("%v %v", r.err, r)
		}
	})
	return container{id}
}

func (c container) short() string { return c.id[:12] }

func (c container) inspect(t *testing.T, what string) string {
	t.Helper()
	return ok(t, "inspect", "--format", "{{"+what+"}}", c.id)
}

func (c container) pid(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(c.inspect(t, ".State.Pid"))
	if err != nil || pid <= 1 {
		t.Fatalf("container %s runs as pid %d, %v: %s", c.short(), pid, err, c.inspect(t, "json .State"))
	}
	return pid
}

// admin is one of rtshield's own commands, on the daemon's policy file.
func (d *daemon) admin(args ...string) *exec.Cmd {
	cmd := exec.Command(d.rtshield, args...)
	cmd.Env = append(os.Environ(), d.policy.Env())
	return cmd
}
