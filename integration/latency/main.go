// Command latency runs `rtshield latency` with the arguments that it is given, on a machine that has no policy file: with
// the module's runc, and with the tasks that run the machine left where they are. It proves that the host is as before.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/snapshot"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	dir, err := os.MkdirTemp("", "rtshield-latency-policy-")
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	bin := bundle.BinDir()
	policy, ledger, err := bundle.Policy(dir, filepath.Join(bin, "runc"))
	if err != nil {
		return 1, err
	}
	before := snapshot.TakeHost(ledger)
	cmd := exec.Command(filepath.Join(bin, "rtshield"), append([]string{"latency"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "RTSHIELD_CONFIG="+policy)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // Ctrl-C is for rtshield, which ends by it
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	_ = cmd.Wait() // its status is ours
	if changed := before.Changed(); len(changed) > 0 {
		return 1, fmt.Errorf("the host is not as before (the ledger is kept in %s):\n  %s", dir, strings.Join(changed, "\n  "))
	}
	bundle.Forget(dir)
	return cmd.ProcessState.ExitCode(), os.RemoveAll(dir)
}
