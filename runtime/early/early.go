// Package early hands the verbs that rtshield has no business with to the delegate before the rest of the program is
// initialised: it is imported for that alone.
//
// Go initialises packages in the order of their dependencies, and among those that are ready in the order of their
// import paths (language specification, "Program initialization"). This package depends on little, so its init runs
// before those of the JSON, TOML and command-line libraries; a pass-through costs what Go's own start-up costs, and
// the memory pages of those libraries are never touched. make bench shows the difference.
package early

import (
	"bytes"
	"os"

	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

func init() {
	inv := argv.Parse(os.Args)
	switch inv.Verb {
	case "state":
		if delegate.Holds() {
			return
		}
	case "kill", "start", "ps", "events", "pause", "resume", "list", "checkpoint":
	case "exec":
		if delegate.RewritesExec() || mayBeRealTime(inv.Process) {
			return
		}
	default:
		return
	}
	if !inv.Help {
		// An error is met again, and then reported, on the ordinary way through main.
		_ = delegate.PassOn(os.Args)
	}
}

// mayBeRealTime says whether a process that exec is given could name a scheduler, also with letters written as \u0073.
func mayBeRealTime(process string) bool {
	if process == "" {
		return false
	}
	if info, err := os.Stat(process); err != nil || !info.Mode().IsRegular() { // what is read of a pipe is gone
		return err == nil
	}
	data, err := os.ReadFile(process)
	return err == nil && (bytes.Contains(bytes.ToLower(data), []byte("scheduler")) || bytes.Contains(data, []byte(`\u`)))
}
