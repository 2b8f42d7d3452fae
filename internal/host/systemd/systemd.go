// Package systemd asks systemd for what it would otherwise undo. By systemctl, as a child process: a D-Bus library's start
// would be paid by every OCI verb.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rtshield/rtshield/internal/host"
)

// Runs says whether systemd is this host's init (sd_booted(3)).
func Runs(root host.Root) bool {
	info, err := os.Lstat(root.Path("run/systemd/system"))
	return err == nil && info.IsDir()
}

// patience bounds one systemctl, and silent says that one was given up in vain: the ledger's lock is held meanwhile, and the
// runtime kills hooks that take longer than 15 s.
var (
	patience = 5 * time.Second
	silent   error
)

// Control runs systemctl and gives what it printed. Once systemd gave no answer it is not asked again.
func Control(args ...string) (string, error) {
	if silent != nil {
		return "", silent
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{"--no-ask-password", "--no-pager"}, args...)...)
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		silent = fmt.Errorf("systemd gave no answer within %v (systemctl %s)", patience, strings.Join(args, " "))
		return "", silent
	case err != nil && stderr.Len() > 0:
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
