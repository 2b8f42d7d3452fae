// Package crash_test kills rtshield and its hooks with SIGKILL before every system call that can change anything, makes
// every call fail that meets what is outside of the program, spoils the ledger, and lets delegates hang. Then it wants the
// host back as it was. The program under test is the ordinary one. docs/faults.md says what has to come of each.
//
// The test binary has two more faces: a tracer that hits the k-th such call, counted over all threads (strace's when=
// counts each of Go's threads by itself), and a delegate that puts this tracer around one of our hooks.
package crash_test

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		faces := map[string]func([]string) (int, error){"trace": traceFace, "delegate": delegateFace}
		if face, ok := faces[os.Args[1]]; ok {
			code, err := face(os.Args[2:])
			if err != nil {
				fmt.Fprintln(os.Stderr, "crash test:", err)
				code = 99
			}
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}
