package delegate

import (
	"fmt"
	"syscall"
)

// Exec replaces this process by the delegate: same pid, stdio, inherited file descriptors and working
// directory, so to the engine the delegate is what it started. It returns only on an error.
//
// syscall.Exec and not the system call by itself: Go raised our soft RLIMIT_NOFILE at start-up, and this puts
// the engine's value back.
func Exec(path string, argv, env []string) error {
	if err := syscall.Exec(path, delegateArgv(path, argv), env); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	return nil
}

// Become is Exec with the depth counter raised.
func Become(path string, argv []string) error {
	env, err := Environ()
	if err != nil {
		return err
	}
	return Exec(path, argv, env)
}

// PassOn makes this process the delegate. Nothing is read for it but the pointer.
func PassOn(argv []string) error {
	path, err := Resolve()
	if err != nil {
		return err
	}
	return Become(path, argv)
}

// delegateArgv names the delegate by its path instead of us. runc prints argv[0] in its usage errors, and crun
// takes a name such as crun-wasm for the choice of a handler.
func delegateArgv(path string, argv []string) []string {
	out := []string{path}
	if len(argv) > 1 {
		out = append(out, argv[1:]...)
	}
	return out
}
