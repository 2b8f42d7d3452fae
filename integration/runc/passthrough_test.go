package runc_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// varying is what differs between two calls of the same runc: the time, a pid, the usage of a moment.
var varying = regexp.MustCompile(`time="[^"]*"|\b[0-9]{3,}\b|\d+\.\d+`)

func same(r *rig.Rig, shield, plain rig.Result) {
	r.Helper()
	clean := func(text string) string { return varying.ReplaceAllString(text, "#") }
	if shield.Code != plain.Code || clean(shield.Stdout) != clean(plain.Stdout) || clean(shield.Stderr) != clean(plain.Stderr) {
		r.Errorf("rtshield and its delegate differ:\n%s\n%s", shield, plain)
	}
}

func TestPassThroughVerbsSayAndReturnWhatRuncDoes(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		defer r.End("o")
		for _, args := range [][]string{
			{"state", "o"}, {"state", "missing"}, {"state"}, {"list"}, {"list", "-q"}, {"kill", "missing", "KILL"}, {"kill", "o", "0"},
			{"ps", "o", "-eo", "pid,args"}, {"ps", "--format", "json", "o"}, {"start", "missing"}, {"start", "o"}, {"pause", "missing"},
			{"exec", "o", "/bin/sh", "-c", "echo out; echo err >&2; exit 42"}, {"exec", "o", "/nosuch"},
			{"exec", "o", "/bin/sh", "-c", "kill -9 $$"}, {"features"}, {"state", "--help"}, {"kill", "--nosuch", "o"},
		} {
			same(r, r.OCI(args...), r.Plain(args...))
		}
	})
}

// The numbers differ from one moment to the next; the words do not.
func TestEventsStatsPassesThrough(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		defer r.End("o")
		digits := regexp.MustCompile(`[0-9]+`)
		shield, plain := r.OCI("events", "--stats", "o"), r.Plain("events", "--stats", "o")
		if shield.Code != 0 || digits.ReplaceAllString(shield.Stdout, "#") != digits.ReplaceAllString(plain.Stdout, "#") {
			r.Errorf("rtshield and its delegate differ:\n%s\n%s", shield, plain)
		}
		has(r, "events", shield.Stdout, `"type":"stats"`, `"id":"o"`)
	})
}

func TestExtraFileDescriptorsReachTheContainer(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		defer r.End("o")
		shielded := r.Bundle("fds", rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo through >&3; echo run >&4"))
		r.Track("fds")
		for _, args := range [][]string{
			{"exec", "--preserve-fds", "2", "o", "/bin/sh", "-c", "echo through >&3; echo run >&4"},
			{"run", "--preserve-fds", "2", "--bundle", shielded, "fds"},
		} {
			var files []*os.File
			for _, name := range []string{"three", "four"} {
				file, err := os.Create(filepath.Join(r.Dir, name))
				if err != nil {
					r.Fatal(err)
				}
				defer file.Close()
				files = append(files, file)
			}
			cmd := r.Command(context.Background(), r.Rtshield, append([]string{"--root", r.Root}, args...)...)
			cmd.ExtraFiles = files
			if out, err := cmd.CombinedOutput(); err != nil {
				r.Errorf("%v: %v: %s", args, err, out)
			}
			if three, four := r.Text(files[0].Name()), r.Text(files[1].Name()); three != "through" || four != "run" {
				r.Errorf("%v: descriptors 3 and 4 got %q and %q", args, three, four)
			}
		}
	})
}

func TestPassThroughOpensNoPolicyFileAndNoLedger(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		defer r.End("o")
		trace := filepath.Join(r.Dir, "trace")
		for _, args := range [][]string{{"state", "o"}, {"kill", "o", "0"}, {"list"}, {"exec", "o", "/bin/true"}} {
			r.Program("/usr/bin/strace", append([]string{
				"-f", "-o", trace, "-e", "trace=open,openat,openat2,execve", r.Rtshield, "--root", r.Root,
			}, args...)...)
			before, found := beforeDelegate(r.Text(trace), r.Runc)
			if !found {
				r.Fatalf("%v: no execve of %s in\n%s", args, r.Runc, r.Text(trace))
			}
			for _, line := range before {
				if strings.Contains(line, r.Policy.Path) || strings.Contains(line, "ledger") || strings.Contains(line, r.Policy.State) || strings.Contains(line, "O_CREAT") {
					r.Errorf("%v: %s", args, line)
				}
			}
		}
	})
}

// beforeDelegate cuts a trace at the execve of the delegate.
func beforeDelegate(trace, delegate string) (before []string, found bool) {
	for _, line := range lines(trace) {
		if strings.Contains(line, `execve("`+delegate+`"`) {
			return before, true
		}
		before = append(before, line)
	}
	return nil, false
}
