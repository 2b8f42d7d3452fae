package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sizeLimit of the program, in bytes: 15 MB.
const sizeLimit = 15e6

// report is Markdown, to be put into the README as it is.
func report(w io.Writer, results []result, work time.Duration, pairs int, f *field) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	fmt.Fprintln(w, "| | runc, ms | rtshield, ms | ratio | limit |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|")
	for _, r := range results {
		limit := ""
		if r.limit > 0 {
			limit = fmt.Sprintf("%.2f", r.limit)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.2f | %s |\n", r.name, ms(r.runc), ms(r.rtshield), r.ratio(), limit)
	}
	fmt.Fprintf(w, "\nIts own work in create and delete takes rtshield %s ms (limit %s) beyond the starts of its processes.\n", ms(work), ms(workLimit))
	fmt.Fprintf(w, "Medians of %d interleaved pairs each; %s. ", pairs, machine())
	fmt.Fprintf(w, "The program has %s MB (limit %.0f); %s.\n", size(f.rtshield), sizeLimit/1e6, version(f.runc))
}

func machine() string {
	release := "unknown"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("linux %s, %s, %d CPUs", release, model(), runtime.NumCPU())
}

// model is the CPU's name; not every architecture tells it.
func model() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func size(program string) string {
	info, err := os.Stat(program)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%.1f", float64(info.Size())/1e6)
}

func version(runc string) string {
	out, err := exec.Command(runc, "--version").Output()
	if err != nil {
		return "runc of unknown version"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
