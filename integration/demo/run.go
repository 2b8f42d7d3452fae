package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/demo/wake"
)

// way is one of the ways to run the same container.
type way struct {
	name    string
	runtime string // absolute path
	bundle  string
	rounds  []round
}

// round is what one run of a way showed.
type round struct {
	wake.Report
	irqs map[int]uint64 // that arrived on the probe's CPUs while it measured
}

// host is what all runs share: where runtimes keep state, and their environment.
type host struct {
	root string // runc's --root
	env  []string
}

// run runs the container in the foreground. While it measures, during is called
// with the CPUs that it may use.
func (h host) run(ctx context.Context, w *way, id string, during func(cpuset.CPUSet) error) (r round, err error) {
	cmd := exec.CommandContext(ctx, w.runtime, "--root", h.root, "run", "--bundle", w.bundle, id)
	cmd.Env = h.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to handle
	cmd.Cancel = func() error { return h.command(w, "kill", id, "KILL") }
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	talkErr := talk(stdin, bufio.NewReader(stdout), &r, during)
	if talkErr != nil {
		stdin.Close() // the probe goes on, and ends
		_, _ = io.Copy(io.Discard, stdout)
	}
	waitErr := cmd.Wait()
	if waitErr != nil || talkErr != nil {
		// What is left of a container that failed half-way; none is no error.
		_ = h.command(w, "delete", "--force", id)
	}
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case waitErr != nil:
		return r, fmt.Errorf("%s run: %w: %s", w.runtime, waitErr, strings.TrimSpace(stderr.String()))
	case talkErr != nil:
		return r, fmt.Errorf("%s run: %w", w.runtime, talkErr)
	}
	return r, nil
}

// talk leads the probe through a round. Interrupts are counted between its two
// lines: setting up and removing the container is not what is compared.
func talk(stdin io.Writer, stdout *bufio.Reader, r *round, during func(cpuset.CPUSet) error) error {
	if err := listen(stdout, &r.Report); err != nil {
		return err
	}
	cpus, err := cpuset.Parse(r.CPUs)
	if err != nil {
		return fmt.Errorf("the probe's CPUs %q: %w", r.CPUs, err)
	}
	before, err := readInterrupts()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		return err
	}
	if err := during(cpus); err != nil {
		return err
	}
	if err := listen(stdout, &r.Report); err != nil {
		return err
	}
	after, err := readInterrupts()
	if err != nil {
		return err
	}
	r.irqs = after.since(before, cpus)
	return nil
}

func listen(stdout *bufio.Reader, r *wake.Report) error {
	line, err := stdout.ReadString('\n')
	if err != nil {
		return fmt.Errorf("no report from the probe: %w", err)
	}
	if err := json.Unmarshal([]byte(line), r); err != nil {
		return fmt.Errorf("the probe's report: %w", err)
	}
	return nil
}

// command runs another verb on the container, also after Ctrl-C.
func (h host) command(w *way, verb string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.runtime, append([]string{"--root", h.root, verb}, args...)...)
	cmd.Env = h.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", w.runtime, verb, err, bytes.TrimSpace(out))
	}
	return nil
}

// environment is ours, with rtshield pointed at the demo's policy file.
func environment(policy string) []string {
	return append(os.Environ(), "RTSHIELD_CONFIG="+policy)
}
