// Command rtshield is a drop-in OCI runtime for real-time containers. It has three faces: an engine's OCI verbs, the
// hooks that the delegate calls, and the administrator's commands.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/rtshield/rtshield/hooks"
	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/latency/workload"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime"
	"github.com/rtshield/rtshield/runtime/argv"
	_ "github.com/rtshield/rtshield/runtime/early" // pass-through verbs end here
)

// version is set by the Makefile.
var version = "0.1.0-dev"

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	if len(args) > 1 && args[1] == "hook" {
		if err := hooks.Run(args[2:], os.Stdin); err != nil {
			return complain(err)
		}
		return 0
	}
	if check.Is(args[1:]) {
		return check.Main()
	}
	if watch.Is(args[1:]) {
		return watch.Main(args[1:])
	}
	if workload.Is(args[1:]) {
		return workload.Main(args[1:])
	}
	if isAdministrator(args) {
		return administrate(args)
	}
	// Without the word "version": Docker shows the last line that has it as the runtime's (moby, parseRuntimeVersion),
	// and that should stay runc's.
	return runtime.Main(args, "rtshield "+version)
}

// complain puts an error on one line of stderr and gives the exit status.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "rtshield: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	return 1
}

// isAdministrator: one of our own commands, or a call for help. Nothing that an engine says is among them, and no
// framework is set up to find out.
func isAdministrator(args []string) bool {
	inv := argv.Parse(args)
	switch inv.Verb {
	case "status", "check", "verify", "explain", "reconcile", "install", "uninstall", "latency", "completion", "help", "h":
		return true
	case "":
		return inv.Malformed == "" && !inv.Version
	}
	return false
}
