package delegate

import (
	"os"

	"github.com/rtshield/rtshield/internal/config/location"
)

// Marks tell verbs what they could find in the ledger, which they could not find without reading the policy file.

// execMark is a file that is there once a container was made whose exec is given a policy or CPUs.
func execMark() string { return runPointers.file(execMarkName, location.Path()) }

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

// ledgerMark is a link to the ledger, which is a file only while anything is held.
func ledgerMark() string { return runPointers.file(ledgerMarkName, location.Path()) }

// Holds says whether there is a ledger, as far as this boot's first shielded container has told.
func Holds() bool {
	_, err := os.Stat(ledgerMark())
	return err == nil
}

// MarkLedger makes Holds tell of the ledger in this file.
func MarkLedger(file string) error {
	if target, err := os.Readlink(ledgerMark()); err == nil && target == file {
		return nil
	}
	if err := os.MkdirAll(runPointers.dir, 0o700); err != nil {
		return err
	}
	return replaceLink(file, ledgerMark())
}
