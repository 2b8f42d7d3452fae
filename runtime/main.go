// Package runtime is the OCI face of rtshield: it stands where an engine expects runc, rewrites what concerns a shield,
// and hands the rest to the real one.
package runtime

import (
	"errors"
	"fmt"
	"os"

	"github.com/rtshield/rtshield/internal/host"
)

// Main carries out one OCI command line and gives the exit status; where the delegate takes over, it does not return.
// version is rtshield's own line after the delegate's.
func Main(argv []string, version string) int {
	inv := Parse(argv)
	if inv.Version {
		delegate, err := Resolve()
		if err != nil {
			inv.Report(os.Stderr, err)
			return 1
		}
		return Version(os.Stdout, delegate, version)
	}
	code, err := dispatch(inv)
	if err != nil {
		inv.Report(os.Stderr, err)
		return 1
	}
	return code
}

func dispatch(inv Invocation) (int, error) {
	if err := unreadableCreate(inv); err != nil {
		return 1, err
	}
	if !inv.Help {
		switch inv.Verb {
		case "create", "run", "restore":
			return 1, create(inv)
		case "delete":
			return remove(inv)
		}
	}
	return 1, passOn(inv)
}

// passOn makes this process the delegate. Nothing is read for it but the command line.
func passOn(inv Invocation) error {
	delegate, err := Resolve()
	if err != nil {
		return err
	}
	return become(delegate, inv.Argv)
}

func become(delegate string, argv []string) error {
	env, err := Environ()
	if err != nil {
		return err
	}
	return Exec(delegate, argv, env)
}

// unreadableCreate: with a flag that our table does not know we cannot tell the bundle from the id, and passing the
// line on would start a container without the shield that it may have asked for.
func unreadableCreate(inv Invocation) error {
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
	delegate, err := FindDelegate(delegates)
	if err != nil {
		return err
	}
	return Point(delegate)
}
