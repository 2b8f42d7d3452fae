package delegate

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// depthVar counts the wrappers of this family on the way to the real runtime. Find knows this very
// file, but not a copy of it or a shell script that calls it.
const (
	depthVar = "RTSHIELD_DEPTH"
	maxDepth = 3
)

// ErrLoop is wrapped by Environ's error.
var ErrLoop = errors.New("the delegate leads back to rtshield")

// Environ is the environment for the delegate: ours, with the depth raised by one.
func Environ() ([]string, error) {
	return raiseDepth(os.Environ())
}

func raiseDepth(env []string) ([]string, error) {
	depth := 0
	out := make([]string, 0, len(env)+1)
	for _, entry := range env {
		value, ours := strings.CutPrefix(entry, depthVar+"=")
		if !ours {
			out = append(out, entry)
			continue
		}
		// A value that we did not write counts as none; the next round has ours.
		if n, err := strconv.Atoi(value); err == nil && n > depth {
			depth = n
		}
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("%w (%d rounds, counted in %s): name the real runc or crun by its absolute path in [runtime] delegates",
			ErrLoop, depth, depthVar)
	}
	return append(out, depthVar+"="+strconv.Itoa(depth+1)), nil
}
