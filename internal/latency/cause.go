package latency

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// rtla is the kernel's own measurement, which can tell what a late wake-up waited for.
type rtla struct {
	path   string
	kernel bool // it has to be told that its threads shall be the kernel's
}

// findRtla looks for rtla and for the tracer that it takes, and says what is missing otherwise. tracefs is not mounted for
// it: rtla would, and leave it so.
func findRtla(root host.Root) (tool rtla, missing string) {
	tracers, err := root.Read("sys/kernel/tracing/available_tracers")
	if err != nil {
		tracers, err = root.Read("sys/kernel/debug/tracing/available_tracers")
	}
	switch {
	case err != nil:
		return tool, "not looked for: tracefs is not mounted (mount -t tracefs nodev /sys/kernel/tracing), or this kernel cannot trace"
	case !slices.Contains(strings.Fields(tracers), "timerlat"):
		return tool, "not looked for: this kernel has no timerlat tracer (CONFIG_TIMERLAT_TRACER, Linux 5.14)"
	}
	if tool.path, err = exec.LookPath("rtla"); err != nil {
		return tool, "not looked for: rtla is not in PATH (apt install rtla, or dnf install rtla)"
	}
	help, _ := exec.Command(tool.path, "timerlat", "top", "--help").CombinedOutput() // it exits with a status
	if !strings.Contains(string(help), "--aa-only") {
		return tool, "not looked for: this rtla does not analyse (--aa-only, rtla 6.5)"
	}
	tool.kernel = strings.Contains(string(help), "--kernel-threads")
	return tool, ""
}

// arguments make rtla wake a thread of the kernel's on each of the CPUs, under the highest priority that the container has,
// until one is as late as late µs, and then say why.
func (r rtla) arguments(cpus cpuset.CPUSet, policy string, late int, interval, length time.Duration) []string {
	args := []string{
		"timerlat", "top", "--quiet", "--cpus", cpus.String(), "--period", strconv.FormatInt(interval.Microseconds(), 10),
		"--duration", strconv.FormatInt(int64(length/time.Second), 10) + "s", "--aa-only", strconv.Itoa(late),
	}
	if name, priority, real := strings.Cut(policy, " "); real {
		args = append(args, "--priority", name[:1]+":"+priority)
	}
	if r.kernel {
		args = append(args, "--kernel-threads")
	}
	return args
}

// cause asks rtla for one wake-up that is as late as p99.9 of rtshield's container, while such a container holds the CPUs
// and the load goes on.
func (s *session) cause(ctx context.Context) ([]string, error) {
	tool, missing := findRtla(host.System)
	if missing != "" {
		return []string{missing}, nil
	}
	w := s.ways[len(s.ways)-1]
	late, known := w.Percentiles[PercentileName(99.9)]
	if !known {
		return []string{"not looked for: there are too few samples to tell what is late"}, nil
	}
	// It holds the CPUs, and wakes up no more than it must: it would be what rtla finds.
	w.bundle = s.bundle("cause")
	args := arguments(s.Cyclictest, time.Second, s.Length, w.grant.Policy, w.grant.Priority)
	b := bundle{dir: w.bundle, annotations: s.Annotations, cgroup: s.cgroup("cause"), args: args}
	if err := b.write(s.rootfs, s.mounts); err != nil {
		return nil, err
	}
	var analysis []string
	_, err := s.run(ctx, w, s.id("cause", 0), func(pid int) error {
		if err := w.look(pid); err != nil {
			return err
		}
		var err error
		analysis, err = tool.analyse(ctx, tool.arguments(w.grant.CPUs.CPUSet, w.Policy, late, s.Interval, max(s.Length-time.Second, time.Second)))
		return err
	})
	if err == nil && len(analysis) == 0 {
		analysis = []string{fmt.Sprintf("rtla timerlat saw no wake-up as late as p99.9 (%d µs) again", late)}
	}
	return analysis, err
}

// analyse runs rtla, and gives what it says of the late wake-up.
func (r rtla) analyse(ctx context.Context, args []string) ([]string, error) {
	cmd := exec.CommandContext(ctx, r.path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it puts the tracer back
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	analysis := analysisOf(string(out))
	if err != nil && len(analysis) == 0 && ctx.Err() == nil {
		return []string{fmt.Sprintf("rtla timerlat: %v: %s", err, strings.Join(strings.Fields(stderr.String()), " "))}, nil
	}
	return analysis, nil
}

// analysisOf gives the part of rtla's output that analyses, from the line with ## on.
func analysisOf(text string) (lines []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " \n")
		if len(lines) == 0 && !strings.HasPrefix(line, "## CPU") {
			continue
		}
		if line != "" && len(lines) < 40 {
			lines = append(lines, line)
		}
	}
	return lines
}
