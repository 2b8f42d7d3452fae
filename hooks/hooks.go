// Package hooks does rtshield's work inside the delegate's life cycle: createRuntime, poststart and poststop of the OCI
// runtime specification. Each is a short process that runs on the host with the container's state on stdin.
package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// call is one hook's invocation.
type call struct {
	host  host.Root
	store shield.Store
	key   shield.Key
	pid   int
}

// Run carries out `rtshield hook WHEN --state DIR --root ROOT`, as spec.Hook entered it into config.json. args start
// after "hook".
func Run(args []string, stdin io.Reader) error {
	when, state, root, err := parse(args)
	if err != nil {
		return err
	}
	container, err := readState(stdin)
	if err != nil {
		return fmt.Errorf("hook %s: container state on stdin: %w", when, err)
	}
	if container.Pid <= 0 && when != "poststop" {
		return fmt.Errorf("hook %s: container state on stdin has no pid: nothing runs yet, or no more", when)
	}
	bootID, err := host.System.BootID()
	if err != nil {
		return err
	}
	c := call{
		host: host.System, store: shield.Store{Dir: state, BootID: bootID},
		key: shield.Key{Root: root, ID: container.ID}, pid: container.Pid,
	}
	switch when {
	case "createRuntime":
		return c.createRuntime()
	case "poststart":
		return c.poststart()
	case "poststop":
		return c.poststop()
	}
	return fmt.Errorf("hook %q: no such hook", when)
}

// state is what we need of the specification's State (runtime.md). Its Go package compiles tables at start-up.
type state struct {
	ID  string `json:"id"`
	Pid int    `json:"pid"`
}

func readState(stdin io.Reader) (state, error) {
	var s state
	if err := json.NewDecoder(io.LimitReader(stdin, maxState)).Decode(&s); err != nil {
		return s, err
	}
	if s.ID == "" {
		return s, errors.New("no id")
	}
	return s, nil
}

// maxState bounds a container's state. It holds the annotations, of which Kubernetes allows 256 kB.
const maxState = 1 << 22

func parse(args []string) (when, state, root string, err error) {
	wrong := errors.New("usage: rtshield hook createRuntime|poststart|poststop --state DIR --root ROOT (called by the runtime, with the container's state on stdin)")
	if len(args) != 5 || args[1] != "--state" || args[3] != "--root" {
		return "", "", "", wrong
	}
	return args[0], args[2], args[4], nil
}
