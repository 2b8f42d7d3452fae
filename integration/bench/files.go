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
	tracedExec  = regexp.MustCompile(`^execve\("([^"]*)", \[(.*?)\]`)
	tracedOpen  = regexp.MustCompile(`^openat\([^,]*, "[^"]*", (\S+?)[,)].* = \d+`)
	tracedClone = regexp.MustCompile(`^(?:v?fork|clone3?)\(.* = (\d+)$`)
)

// files runs the shielded container once more, under strace, and counts.
func (f *field) files(ctx context.Context) ([]touched, error) {
	trace := filepath.Join(f.dir, "trace")
	// Children are followed at once, and no line is cut in two by another process: a file for each.
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, fmt.Errorf("%w: `make setup` installs strace", err)
	}
	if _, err := f.command(ctx, "strace", "-ff", "-s", "200", "-e", "trace=execve,openat,fork,vfork,clone,clone3", "-o", trace,
		f.rtshield, "--root", filepath.Join(f.dir, "root"), "run", "--bundle", f.bundle("shielded"), f.id("shielded")); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(trace + ".*")
	if err != nil {
		return nil, err
	}
	traces := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		traces[strings.TrimPrefix(filepath.Ext(name), ".")] = string(text)
	}
	return countFiles(traces, f.rtshield), nil
}

// countFiles reads the traces of all threads, by id. One belongs to the part that started it, until it becomes a program.
func countFiles(traces map[string]string, rtshield string) []touched {
	counts := []touched{{part: "create, before runc"}, {part: "hook createRuntime"}, {part: "hook poststop"}, {part: "others"}}
	others := len(counts) - 1
	started := map[string]bool{}
	for _, trace := range traces {
		for line := range strings.Lines(trace) {
			if match := tracedClone.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				started[match[1]] = true
			}
		}
	}
	var follow func(thread string, part int)
	follow = func(thread string, part int) {
		for line := range strings.Lines(traces[thread]) {
			line = strings.TrimSpace(line)
			if match := tracedExec.FindStringSubmatch(line); match != nil {
				switch {
				case match[1] != rtshield:
					part = others
				case strings.Contains(match[2], `"hook", "createRuntime"`):
					part = 1
				case strings.Contains(match[2], `"hook", "poststop"`):
					part = 2
				default:
					part = 0
				}
			}
			if strings.Contains(line, "+++ superseded by execve") { // another thread of it has become the next program, and takes this id
				part = others
			}
			if match := tracedClone.FindStringSubmatch(line); match != nil {
				follow(match[1], part)
			}
			if match := tracedOpen.FindStringSubmatch(line); match != nil {
				if strings.Contains(match[1], "O_WRONLY") || strings.Contains(match[1], "O_RDWR") {
					counts[part].written++
				} else {
					counts[part].read++
				}
			}
		}
	}
	for thread := range traces {
		if !started[thread] {
			follow(thread, others)
		}
	}
	return counts[:others]
}

func reportFiles(w io.Writer, counts []touched) {
	fmt.Fprintln(w, "\n| files opened for a shielded container | to read | to write |")
	fmt.Fprintln(w, "|---|---:|---:|")
	for _, c := range counts {
		fmt.Fprintf(w, "| %s | %d | %d |\n", c.part, c.read, c.written)
	}
}
