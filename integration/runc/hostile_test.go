package runc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestAnIDThatIsNoneIsRefusedInTheDelegatesWordsAndLeavesNothing(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		b := r.Bundle("c", rig.Class("fifo"))
		mkdir(r, r.Root) // which `runc list` wants, and no create has come as far as to make
		for _, id := range []string{"../c", "../../etc/c", "a/b", ".", "..", "a\nb", "a b", strings.Repeat("x", 1000), "\x1b[2J", "ä", ""} {
			shield, plain := r.OCI("create", "--bundle", b, id), r.Plain("create", "--bundle", b, id)
			if shield.Code == 0 || shield.Code != plain.Code || varying.ReplaceAllString(shield.Stderr, "#") != varying.ReplaceAllString(plain.Stderr, "#") {
				r.Errorf("id %q: %s\nplain: %s", id, shield, plain)
			}
			r.OCI("delete", "--force", id)
			r.Gone(fmt.Sprintf("%q", id))
		}
		r.Settled("after ids that are none")
	})
}

// However it is handed in, a bundle is read whole or refused in one line, at once.
func TestABundleWhoseConfigIsNoPlainFile(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		b := r.Bundle("c", rig.Class("fifo"), rig.Args("/bin/sh", "-c", "echo $RTSHIELD_CPUS"))
		config, real := filepath.Join(b, "config.json"), filepath.Join(r.Dir, "elsewhere.json")
		if err := os.Rename(config, real); err != nil {
			r.Fatal(err)
		}
		for name, place := range map[string]func() error{
			"a FIFO":                      func() error { return unix.Mkfifo(config, 0o600) },
			"a directory":                 func() error { return os.Mkdir(config, 0o700) },
			"a device that never ends":    func() error { return unix.Mknod(config, unix.S_IFCHR|0o600, 1<<8|5) },
			"a link to one":               func() error { return os.Symlink("/dev/zero", config) },
			"a file of a hundred million": func() error { return errors.Join(os.WriteFile(config, nil, 0o600), os.Truncate(config, 100_000_000)) },
		} {
			if err := place(); err != nil {
				r.Fatal(err)
			}
			begun := time.Now()
			res := r.OCI("create", "--bundle", b, "c")
			if refused(r, res); !strings.Contains(res.Stderr, "is not a regular file") && !strings.Contains(res.Stderr, "config.json is larger than 32 MiB") {
				r.Errorf("%s: %s", name, res)
			}
			if took := time.Since(begun); took > 3*time.Second {
				r.Errorf("%s: it took %v", name, took)
			}
			if err := os.Remove(config); err != nil {
				r.Fatal(err)
			}
		}
		if err := os.Symlink(real, config); err != nil {
			r.Fatal(err)
		}
		r.Track("c")
		if res := r.Must(r.OCI("run", "--bundle", b, "c")); res.Stdout != "1\n" {
			r.Errorf("behind a link: %s", res)
		}
		if target, err := os.Readlink(config); err != nil || target != real {
			r.Errorf("the link is %q now: %v", target, err)
		}
		r.AsBefore("afterwards")
	})
}

// Somebody swaps the file all the time. Each container is the one that asks or the one that does not: who writes after rtshield
// has the last word, which runc reads. When all are gone nothing is left.
func TestAConfigReplacedWhileWeReadItIsOneOfTheTwo(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	program := rig.Args("/bin/sh", "-c", "echo ${RTSHIELD_CPUS:-none}; while read name list; do case $name in Cpus_allowed_list:) echo $list;; esac; done </proc/self/status")
	b := r.Bundle("c", program)
	texts := []string{r.Raw(b), r.Raw(r.Bundle("asks", program, rig.Class("fifo"), func(s *specs.Spec) { s.Linux.CgroupsPath = rig.CgroupParent + "/c" }))}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(i%25) * time.Millisecond):
			}
			temporary := filepath.Join(r.Dir, "swap.json")
			if os.WriteFile(temporary, []byte(texts[i%2]), 0o644) == nil {
				_ = os.Rename(temporary, filepath.Join(b, "config.json"))
			}
		}
	}()
	r.Track("c")
	seen := map[string]int{}
	for range 12 {
		res := r.OCI("run", "--bundle", b, "c")
		r.OCI("delete", "--force", "c")
		out := strings.Fields(res.Stdout)
		switch {
		case res.Code != 0: // refused whole, such as by the hook of a grant that another file was read for
			seen["refused"]++
		case slices.Equal(out, []string{"none", "0-1"}), slices.Equal(out, []string{"1", "1"}):
			seen[out[0]]++
		default:
			r.Errorf("it is neither: %s", res)
		}
	}
	close(stop)
	<-stopped
	if seen["none"]+seen["1"] == 0 {
		r.Errorf("none of them ran: %v", seen)
	}
	r.Logf("%v", seen)
	r.Settled("afterwards")
}

func TestADelegateThatOthersCouldWriteIsNotRun(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{})
	dir := filepath.Join(r.Dir, "theirs")
	mkdir(r, dir)
	ran := filepath.Join(r.Dir, "ran")
	program := filepath.Join(dir, "runc")
	put(r, program, "#!/bin/sh\ntouch "+ran+"\nexec "+r.Runc+" \"$@\"\n")
	if err := errors.Join(os.Chmod(program, 0o755), os.Chown(program, 65534, 65534)); err != nil {
		r.Fatal(err)
	}
	// As the policy names it for create, and as other verbs find it.
	policy := filepath.Join(r.Dir, "theirs.toml")
	put(r, policy, fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n", program, r.Policy.State))
	own := r.Env
	r.Cleanup(func() { r.Env = own })
	r.Env = []string{"RTSHIELD_CONFIG=" + policy}
	refused(r, r.OCI("create", "--bundle", r.Bundle("c"), "c"), "delegate: "+program, "belongs to uid 65534", "make it root's")
	r.Env = append(r.Env, "PATH="+dir)
	for _, args := range [][]string{{"state", "c"}, {"kill", "c"}, {"delete", "c"}, {"update", "c"}, {"list"}} {
		refused(r, r.OCI(args...), "delegate: "+program, "belongs to uid 65534")
	}
	if exists(ran) {
		r.Error("it was run")
	}
}

func TestHooksGetAFixedEnvironmentAndATimeout(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		b := r.Bundle("c", rig.Class("fifo"), rig.Args("/bin/true"), func(s *specs.Spec) {
			s.Process.Env = append(s.Process.Env, "PATH=/image", "LD_PRELOAD=/image.so", "RTSHIELD_CONFIG=/image.toml", "GODEBUG=image=1")
		})
		r.Track("c")
		trace := filepath.Join(r.Dir, "trace")
		r.Must(r.Program("/usr/bin/strace", "-f", "-v", "-s", "4096", "-o", trace, "-e", "trace=execve", r.Rtshield, "--root", r.Root, "run", "--bundle", b, "c"))
		hooks := 0
		for _, line := range lines(r.Text(trace)) {
			if !strings.Contains(line, `"hook", "`) {
				continue
			}
			hooks++
			if !strings.Contains(line, `["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1", "GOGC=off"]`) {
				r.Errorf("a hook's environment: %s", line)
			}
		}
		if hooks < 2 {
			r.Errorf("%d hooks were seen in\n%s", hooks, r.Text(trace))
		}
		all := r.Config(b).Hooks
		for _, hook := range append(all.CreateRuntime, all.Poststop...) {
			if hook.Timeout == nil || *hook.Timeout != shield.HookTimeout {
				r.Errorf("hook %v has another timeout than %d s", hook.Args, shield.HookTimeout)
			}
		}
		r.AsBefore("afterwards")
	})
}

// Its policy is set from the host. In its own namespace root has every capability, and of the grant no more than it got.
func TestRootOfAUserNamespaceGetsTheGrantAndNoMore(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		mkdir(r, filepath.Join(r.Dir, "rootfs", "mnt"))
		pid := r.Detach("c", r.Bundle("c", rig.Class("fifo"), inUserNamespace, func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: "/", Options: []string{"rbind", "ro"}})
		}))
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		for _, try := range []string{
			"busybox chroot /mnt chrt -f -p 81 1", "busybox chroot /mnt chrt -f 99 true", "busybox chroot /mnt chrt -d -T 1000000 -P 2000000 0 true", "busybox chroot /mnt taskset -p -c 0 1",
			"echo 0-1 >/mnt/sys/fs/cgroup/cpuset" + rig.CgroupParent + "/c/cpuset.cpus", "ulimit -H -r 99", "echo -1 >/proc/sys/kernel/sched_rt_runtime_us",
		} {
			if res := r.OCI("exec", "c", "/bin/sh", "-c", try); res.Code == 0 {
				r.Errorf("its root could: %s", res)
			}
		}
		if res := r.OCI("exec", "c", "/bin/busybox", "chroot", "/mnt", "chrt", "-p", "1"); !strings.Contains(res.Stdout, "SCHED_FIFO") {
			r.Errorf("the tools that it tries with do not work: %s", res)
		}
		r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
		r.End("c")
		r.AsBefore("after delete")
	})
}

func inUserNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = s.Linux.UIDMappings
	all := []string{"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_OVERRIDE"}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all, Inheritable: all}
}

// A user's own rtshield is the user's runc, until somebody asks for a shield.
func TestAUserIsToldThatAShieldNeedsRootAndElseGetsWhatRuncDoes(t *testing.T) {
	rig.EachRunc(t, func(t *testing.T, runc string) {
		r := rig.New(t, runc, testhost.Options{})
		const uid = 65534
		root, program := filepath.Join(r.Dir, "user"), filepath.Join(r.Dir, "rtshield")
		if err := errors.Join(os.Mkdir(root, 0o700), os.Chown(root, uid, uid), bundle.CopyProgram(program, r.Rtshield),
			os.Symlink(program, filepath.Join(r.Dir, "rtshield-fifo"))); err != nil {
			r.Fatal(err)
		}
		as := func(path string, args ...string) rig.Result {
			r.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, args...)
			var out, problems strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &problems
			cmd.Env, cmd.Dir = []string{"PATH=" + filepath.Dir(runc) + ":/usr/bin:/bin", "XDG_RUNTIME_DIR=" + root, "HOME=" + root}, r.Dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			_ = cmd.Run()
			return rig.Result{Args: append([]string{path}, args...), Stdout: out.String(), Stderr: problems.String(), Code: cmd.ProcessState.ExitCode()}
		}
		own := filepath.Join(filepath.Dir(runc), "runc")
		if own != runc {
			t.Fatalf("%s is not called runc", runc)
		}
		ordinary, asking := r.Bundle("c"), r.Bundle("asks", rig.Class("fifo"))
		for _, args := range [][]string{
			{"--root", root, "state", "c"}, {"--root", root, "list"}, {"--root", root, "delete", "--force", "c"}, {"--root", root, "update", "--memory", "1", "c"},
			{"--root", root, "create", "--bundle", ordinary, "c"}, {"--root", root, "run", "--bundle", r.Dir, "c"},
		} {
			same(r, as(program, args...), as(runc, args...))
		}
		if res := as(program, "--help"); res.Code != 0 || !strings.Contains(res.Stdout, "rtshield") {
			r.Errorf("--help: %s", res)
		}
		words := []string{"asks for a shield", "rtshield runs as uid 65534", "root's to set", "engine of root"}
		refused(r, as(program, "--root", root, "create", "--bundle", asking, "c"), words...)
		refused(r, as(filepath.Join(r.Dir, "rtshield-fifo"), "--root", root, "create", "--bundle", ordinary, "c"), words...)
		refused(r, r.Program("/usr/bin/unshare", "--user", "--map-root-user", program, "--root", filepath.Join(r.Dir, "namespace"), "create", "--bundle", asking, "c"),
			"asks for a shield", "in a user namespace", "not rootless")
		r.AsBefore("afterwards")
	})
}

// A thread that runs and runs gets SIGXCPU, and one that does not care SIGKILL: the first process of a pid namespace heeds a
// signal only with a handler of its own. The loops end by themselves, too.
func TestRTTimeEndsAThreadThatNeverWaits(t *testing.T) {
	const classes = "[class.fused]\npolicy = \"fifo\"\nrttime = \"100ms\"\n"
	const loop = "i=0; while [ $i -lt 30000000 ]; do i=$((i+1)); done; echo ended"
	rig.EachWith(t, testhost.Options{Classes: classes}, func(r *rig.Rig) {
		for _, c := range []struct {
			name, script, stdout string
			code                 int
		}{
			{"xcpu", "trap 'echo let go; exit 3' XCPU; " + loop, "let go\n", 3},
			{"deaf", loop, "", 128 + int(unix.SIGKILL)},
		} {
			r.Track(c.name)
			begun := time.Now()
			res := r.OCI("run", "--bundle", r.Bundle(c.name, rig.Class("fused"), rig.Args("/bin/sh", "-c", c.script)), c.name)
			if res.Code != c.code || res.Stdout != c.stdout {
				r.Errorf("it ended otherwise: %s", res)
			}
			r.Logf("%s ended after %v", c.name, time.Since(begun))
		}
		limits := r.Must(r.OCI("run", "--bundle", r.Bundle("l", rig.Class("fused"), rig.Args("/bin/cat", "/proc/self/limits")), "l")).Stdout
		has(r, "limits", strings.Join(strings.Fields(limits), " "), "Max realtime timeout 100000 200000 us")
		lower := func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_RTTIME", Hard: 7000, Soft: 6000}}
		}
		limits = r.Must(r.OCI("run", "--bundle", r.Bundle("m", rig.Class("fused"), lower, rig.Args("/bin/cat", "/proc/self/limits")), "m")).Stdout
		has(r, "limits", strings.Join(strings.Fields(limits), " "), "Max realtime timeout 6000 7000 us")
		unlimited := func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_RTTIME", Hard: 1<<64 - 1, Soft: 1<<64 - 1}}
		}
		refused(r, r.OCI("create", "--bundle", r.Bundle("n", rig.Class("fused"), unlimited), "n"), "RLIMIT_RTTIME", "class fused", "raise rttime")
		r.AsBefore("afterwards")
	})
}
