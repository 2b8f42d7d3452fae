package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// where a host may have systemctl; NixOS is the last.
var paths = []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin"}

// patience bounds one command: k3s takes a minute and more to restart.
const patience = 5 * time.Minute

// Chroot gives a Run that runs programs in the root of a host. systemctl would find itself in a chroot, say so and do nothing,
// with exit status 0: it is told that there is a systemd behind it all the same.
func Chroot(root string) func(context.Context, ...string) (string, error) {
	return func(ctx context.Context, argv ...string) (out string, err error) {
		candidates := []string{argv[0]}
		if !strings.Contains(argv[0], "/") {
			candidates = nil
			for _, dir := range paths {
				candidates = append(candidates, dir+"/"+argv[0])
			}
		}
		for _, path := range candidates {
			if out, err = run(ctx, root, path, argv[1:]); !errors.Is(err, fs.ErrNotExist) {
				return out, err
			}
		}
		return "", fmt.Errorf("the host has no %s: %w", argv[0], err)
	}
}

func run(ctx context.Context, root, path string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	cmd.Env = []string{"PATH=" + strings.Join(paths, ":"), "LANG=C", "SYSTEMD_IGNORE_CHROOT=1", "SYSTEMD_PAGER="}
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}
