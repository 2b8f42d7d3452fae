package delegate

import (
	"os"

	"github.com/rtshield/rtshield/internal/config/location"
)

// execMark is a file that is there once a container was made whose exec is given a policy or CPUs. Without it exec need not
// look into the ledger, which it could not find without reading the policy file.
func execMark() string { return runPointers.file("exec", location.Path()) }

// RewritesExec says whether an exec may have to be rewritten that names no scheduler.
func RewritesExec() bool {
	_, err := os.Lstat(execMark())
	return err == nil
}

// MarkRewritesExec makes RewritesExec true until the next boot.
func MarkRewritesExec() error {
	if RewritesExec() {
		return nil
	}
	if err := os.MkdirAll(runPointers.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(execMark(), nil, 0o600)
}
