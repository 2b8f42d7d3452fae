// Package early hands the verbs that rtshield has no business with to the delegate before the rest of the program is
// initialised: it is imported for that alone.
//
// Go initialises packages in the order of their dependencies, and among those that are ready in the order of their
// import paths (language specification, "Program initialization"). This package depends on little, so its init runs
// before those of the JSON, TOML and command-line libraries; a pass-through costs what Go's own start-up costs, and
// the memory pages of those libraries are never touched. make bench shows the difference.
package early

import (
	"os"

	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

func init() {
	switch inv := argv.Parse(os.Args); inv.Verb {
	case "state", "kill", "start", "ps", "events", "pause", "resume", "features", "list", "exec", "checkpoint":
		if !inv.Help {
			// An error is met again, and then reported, on the ordinary way through main.
			_ = delegate.PassOn(os.Args)
		}
	}
}
