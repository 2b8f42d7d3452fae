package delegate

import (
	"os"

	"github.com/rtshield/rtshield/internal/config/location"
)

// inheritMark is a file that is there once a container was made whose exec inherits its policy. Without it exec need not look
// into the ledger, which it could not find without reading the policy file.
func inheritMark() string { return runPointers.file("inherit", location.Path()) }

// ExecInherits says whether an exec may have to be rewritten that names no scheduler.
func ExecInherits() bool {
	_, err := os.Lstat(inheritMark())
	return err == nil
}

// MarkExecInherits makes ExecInherits true until the next boot.
func MarkExecInherits() error {
	if ExecInherits() {
		return nil
	}
	if err := os.MkdirAll(runPointers.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(inheritMark(), nil, 0o600)
}
