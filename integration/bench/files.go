package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// touched counts the files that one part of rtshield's work opens.
type touched struct {
	part          string
	read, written int
}

var (
	tracedExec = regexp.MustCompile(`^(\d+) +execve\("[^"]*", \[(.*?)\]`)
	tracedOpen = regexp.MustCompile(`^(\d+) +openat\([^,]*, "([^"]*)", (\S+?)[,)].* = (-?\d+)`)
)

// files runs the shielded container once more, under strace, and counts.
func (f *field) files(ctx context.Context) ([]touched, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, fmt.Errorf("%w: `make setup` installs strace", err)
	}
	trace := filepath.Join(f.dir, "trace")
	// Children are followed at once, and no line is cut in two by another process: a file for each.
	if _, err := f.command(ctx, strace, "-ff", "-s", "200", "-e", "trace=execve,openat", "-o", trace,
		f.rtshield, "--root", filepath.Join(f.dir, "root"), "run", "--bundle", f.bundle("shielded"), f.id("shielded")); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(trace + ".*")
	if err != nil {
		return nil, err
	}
	counts := []touched{{part: "create, before runc"}, {part: "hook createRuntime"}, {part: "hook poststop"}}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		count(string(text), f.rtshield, counts)
	}
	return counts, nil
}

// count reads one process's trace. What it opens before it becomes another program counts for the part that it was.
func count(trace, rtshield string, counts []touched) {
	part := -1
	for line := range strings.Lines(trace) {
		line = "0 " + line
		if match := tracedExec.FindStringSubmatch(line); match != nil {
			switch argv := match[2]; {
			case strings.Contains(argv, `"hook", "createRuntime"`):
				part = 1
			case strings.Contains(argv, `"hook", "poststop"`):
				part = 2
			case strings.Contains(line, `execve("`+rtshield+`"`):
				part = 0
			default:
				part = -1
			}
		}
		if match := tracedOpen.FindStringSubmatch(line); match != nil && part >= 0 && !strings.HasPrefix(match[4], "-") {
			if strings.Contains(match[3], "O_WRONLY") || strings.Contains(match[3], "O_RDWR") {
				counts[part].written++
			} else {
				counts[part].read++
			}
		}
	}
}

func reportFiles(w io.Writer, counts []touched) {
	fmt.Fprintln(w, "\n| files opened for a shielded container | to read | to write |")
	fmt.Fprintln(w, "|---|---:|---:|")
	for _, c := range counts {
		fmt.Fprintf(w, "| %s | %d | %d |\n", c.part, c.read, c.written)
	}
}
