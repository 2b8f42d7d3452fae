// Package runtime is the OCI face of rtshield: it stands where an engine expects runc, rewrites what concerns a shield,
// and hands the rest to the real one.
package runtime

import (
	"errors"
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// Main carries out one OCI command line and gives the exit status; where the delegate takes over, it does not return.
// version is rtshield's own line after the delegate's.
func Main(args []string, version string) int {
	inv := argv.Parse(args)
	if inv.Version {
		path, err := delegate.Resolve()
		if err != nil {
			Report(inv, os.Stderr, err)
			return 1
		}
		return delegate.Version(os.Stdout, path, version)
	}
	code, err := dispatch(inv)
	if err != nil {
		Report(inv, os.Stderr, err)
		return 1
	}
	return code
}

func dispatch(inv argv.Invocation) (int, error) {
	if err := unreadableCreate(inv); err != nil {
		return 1, err
	}
	if !inv.Help {
		switch inv.Verb {
		case "create", "run", "restore":
			return 1, create(inv)
		case "delete":
			return remove(inv)
		case "exec":
			return execute(inv)
		case "update":
			return update(inv)
		case "state":
			return 1, state(inv)
		case "features":
			return 1, features(inv)
		}
	}
	return 1, delegate.PassOn(inv.Argv)
}

// features is asked by an engine that starts, and what it says holds until the next start: after a boot no create has left the
// pointer yet, so the policy is asked. One that cannot be read stops nobody here either.
func features(inv argv.Invocation) error {
	if policy, err := config.Load(); err == nil {
		if path, err := delegate.Find(policy.Delegates); err == nil {
			return delegate.Become(path, inv.Argv)
		}
	}
	return delegate.PassOn(inv.Argv)
}

// unreadableCreate: with a flag that our table does not know we cannot tell the bundle from the id, and passing the
// line on would start a container without the shield that it may have asked for.
func unreadableCreate(inv argv.Invocation) error {
	if inv.Malformed == "" {
		return nil
	}
	for _, verb := range []string{"create", "run", "restore"} {
		if inv.MalformedVerb == verb {
			return fmt.Errorf("%s (if this is a flag of a newer runtime, rtshield has to learn it first)", inv.Malformed)
		}
	}
	return nil
}

// errNothing is for bundles that the delegate has better words for.
var errNothing = errors.New("nothing for rtshield to do")

var system = host.System

// PointAt leaves the pointer to the first of the delegates that is there, for the verbs that do not read the policy.
func PointAt(delegates []string) error {
	path, err := delegate.Find(delegates)
	if err != nil {
		return err
	}
	return delegate.Point(path)
}
