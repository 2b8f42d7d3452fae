package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/demo/bundle"
)

// field is the set-up: two runtimes, one root file system, a place for state.
type field struct {
	dir, rootfs    string
	memory         string // a directory on a tmpfs
	runc, rtshield string
	env            []string
}

func newField(dir, bin string) (*field, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	f := &field{
		dir:      dir,
		rootfs:   filepath.Join(dir, "rootfs"),
		runc:     filepath.Join(bin, "runc"),
		rtshield: filepath.Join(bin, "rtshield"),
	}
	for _, program := range []string{f.runc, f.rtshield} {
		if _, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("%w: `make bench` builds it", err)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: `make setup` installs busybox-static", err)
	}
	if err := bundle.RootFS(f.rootfs, busybox, "bin/busybox", "bin/true", "bin/sleep"); err != nil {
		return nil, err
	}
	// The ledger belongs on a tmpfs, as /run is; not everywhere is it one.
	if f.memory, err = os.MkdirTemp("/dev/shm", "rtshield-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(f.memory, 0o755); err != nil {
		return nil, err
	}
	policy, _, err := bundle.Policy(f.memory, f.runc)
	if err != nil {
		return nil, err
	}
	f.env = append(os.Environ(), "RTSHIELD_CONFIG="+policy)
	return f, nil
}

// cases are what is compared. stop ends the container that the first one looks at;
// calling it twice does no harm.
func (f *field) cases(ctx context.Context) (_ []benchCase, stop func(), err error) {
	// Bundles of their own: rtshield writes to its config.json, and a second run
	// finds another file than the first.
	for _, b := range []struct {
		name  string
		class string
		args  []string
	}{
		{"running", "", []string{"/bin/sleep", "600"}},
		{"runc", "", []string{"/bin/true"}},
		{"ordinary", "", []string{"/bin/true"}},
		{"shielded", "fifo", []string{"/bin/true"}},
		{"hooked", "", []string{"/bin/true"}},
		{"idle", "", []string{"/bin/true"}},
	} {
		err := bundle.New(f.bundle(b.name), f.rootfs, f.runc, func(spec *specs.Spec) {
			spec.Process.Args = b.args
			spec.Linux.CgroupsPath = "/" + f.id(b.name)
			switch b.name { // what two hooks cost that do nothing
			case "hooked":
				spec.Hooks = twice(specs.Hook{Path: "/bin/true"})
			case "idle":
				nothing := []string{"rtshield", "hook", "poststop", "--state", filepath.Join(f.dir, "none"), "--root", filepath.Join(f.dir, "root")}
				spec.Hooks = twice(specs.Hook{Path: f.rtshield, Args: nothing})
			}
			if b.class != "" {
				spec.Annotations = map[string]string{"rtshield.io/class": b.class}
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	running := f.id("running")
	stop = sync.OnceFunc(func() {
		_, _ = f.time(ctx, f.runc, "delete", "--force", running)
	})
	if _, err := f.time(ctx, f.runc, "run", "--detach", "--bundle", f.bundle("running"), running); err != nil {
		stop()
		return nil, nil, err
	}
	return []benchCase{
		{
			name: "`state` of a running container", limit: 1.6,
			runc:     func(ctx context.Context) (time.Duration, error) { return f.time(ctx, f.runc, "state", running) },
			rtshield: func(ctx context.Context) (time.Duration, error) { return f.time(ctx, f.rtshield, "state", running) },
		},
		{
			name: "`run` of an ordinary container", limit: 1.15,
			runc:     f.run(f.runc, "runc"),
			rtshield: f.run(f.rtshield, "ordinary"),
		},
		{
			name:     "the same with two empty hooks, by runc itself",
			runc:     f.run(f.runc, "runc"),
			rtshield: f.run(f.runc, "hooked"),
		},
		{
			name: "`run` of a shielded container", limit: 1.4,
			runc:     f.run(f.runc, "runc"),
			rtshield: f.run(f.rtshield, "shielded"),
		},
		{
			name:     "`create` and `delete` of an ordinary container, with two hooks of rtshield's that find nothing to do",
			runc:     f.life(f.runc, "runc"),
			rtshield: f.life(f.rtshield, "idle"),
		},
		{
			name:     "`create` and `delete` of a shielded container",
			runc:     f.life(f.runc, "runc"),
			rtshield: f.life(f.rtshield, "shielded"),
		},
	}, stop, nil
}

func twice(hook specs.Hook) *specs.Hooks {
	return &specs.Hooks{CreateRuntime: []specs.Hook{hook}, Poststop: []specs.Hook{hook}}
}

func (f *field) bundle(name string) string { return filepath.Join(f.dir, "bundle-"+name) }

func (f *field) id(name string) string { return fmt.Sprintf("rtshield-bench-%d-%s", os.Getpid(), name) }

// run is a whole life: created, started, over, deleted.
func (f *field) run(program, bundle string) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		took, err := f.time(ctx, program, "run", "--bundle", f.bundle(bundle), f.id(bundle))
		if err != nil {
			_, _ = f.time(ctx, program, "delete", "--force", f.id(bundle))
		}
		return took, err
	}
}

// life is what an engine calls: create, start, and delete once the container has ended. Counted are create and delete.
func (f *field) life(program, bundle string) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		id, pidFile := f.id(bundle), filepath.Join(f.dir, "pid")
		took, err := f.time(ctx, program, "create", "--bundle", f.bundle(bundle), "--pid-file", pidFile, id)
		if err == nil {
			_, err = f.time(ctx, program, "start", id)
		}
		if err == nil {
			err = ended(pidFile)
		}
		if err != nil {
			_, _ = f.time(ctx, program, "delete", "--force", id)
			return 0, err
		}
		last, err := f.time(ctx, program, "delete", id)
		return took + last, err
	}
}

// ended waits until a container's first process is gone, or waits for somebody to reap it.
func ended(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	stat := "/proc/" + string(bytes.TrimSpace(text)) + "/stat"
	for range 5000 {
		now, err := os.ReadFile(stat)
		if err != nil || bytes.Contains(now, []byte(") Z ")) {
			return nil //nolint:nilerr // it is gone
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s: /bin/true has not ended", stat)
}

// time runs a verb and says how long it took. Output goes to /dev/null, for what
// `run --detach` starts would keep a pipe open; errors go to a file. Ctrl-C does not
// cut a verb short, it is over in milliseconds; measure looks in between.
func (f *field) time(ctx context.Context, program string, args ...string) (time.Duration, error) {
	return f.command(ctx, program, append([]string{"--root", filepath.Join(f.dir, "root")}, args...)...)
}

// command is time without the root.
func (f *field) command(ctx context.Context, program string, args ...string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	stderr, err := os.Create(filepath.Join(f.dir, "stderr"))
	if err != nil {
		return 0, err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = f.env
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	if err != nil {
		said, _ := os.ReadFile(stderr.Name())
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(said))
	}
	return took, nil
}
