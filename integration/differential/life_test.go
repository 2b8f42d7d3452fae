package differential

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// life is a script that each program plays.
type life struct {
	name  string
	edits []rig.Edit
	steps []step
	// ordinary: it says nothing more of a shielded container.
	ordinary bool
}

func sh(script string) rig.Edit { return rig.Args("/bin/sh", "-c", script) }

var lives = []life{
	{
		name: "from create to delete",
		steps: []step{
			run("create --bundle $B --pid-file $D/pid c"), look, run("start c"), look, run("ps --format json c"), run("start c"),
			run("create --bundle $B c"), run("delete c"), run("kill c 0"), run("kill c NOSUCH"), run("kill c KILL"), waits("stopped"), look,
			run("exec c /bin/true"), run("kill c KILL"), run("pause c"), run("delete c"), run("state c"), look,
		},
	},
	{
		name:  "in the foreground",
		edits: []rig.Edit{sh("echo out; echo err >&2; cat; exit 7")},
		steps: []step{
			call{words: "run --bundle $B c", stdin: "in"}.step(), look, run("run --keep --bundle $B c"), look, run("run --bundle $B c"), run("delete c"), look,
			run("run --bundle $B --no-pivot --no-new-keyring c"), call{words: "run c", in: "$B"}.step(), call{words: "run --bundle bundle --pid-file pid c"}.step(),
			run("delete --force c"),
		},
	},
	{
		name: "detached, with exec",
		steps: []step{
			run("run --detach --bundle $B --pid-file $D/pid c"), look, run("exec c /bin/sh -c echo"), run("exec c /bin/sh -c busybox~id;env;pwd"),
			run("exec --env A=1 --cwd /bin --user 7:8 --additional-gids 9 c /bin/sh -c busybox~id;env;pwd"), run("exec --cap CAP_NET_RAW c /bin/busybox grep Cap /proc/self/status"),
			run("exec c /nosuch"), run("exec c /bin/false"), run("exec --detach --pid-file $D/pid c /bin/sleep 60"), run("exec"), run("exec c"),
			puts("process.json", `{"cwd":"/","args":["/bin/sh","-c","busybox id; env; cat /proc/self/limits"],"env":["X=1"],"user":{"uid":3,"gid":4},"rlimits":[{"type":"RLIMIT_CORE","hard":7,"soft":5}],"noNewPrivileges":true}`),
			run("exec --process $D/process.json c"), run("exec --process $D/nosuch c"), call{words: "exec c /bin/cat", stdin: "in"}.step(),
			call{words: "exec --preserve-fds 2 c /bin/sh -c busybox~ls~/proc/self/fd;echo~three>&3;echo~four>&4", files: []string{"three", "four"}}.step(),
			run("pause c"), run("state c"), run("exec c /bin/true"), run("pause c"), run("resume c"), run("resume c"),
			run("checkpoint --image-path $D/image c"), run("delete --force c"), run("delete --force c"), look,
		},
	},
	{
		name: "with a terminal",
		edits: []rig.Edit{sh("busybox stty size; busybox tty; exit 5"), func(s *specs.Spec) {
			s.Process.Terminal = true
			s.Process.ConsoleSize = &specs.Box{Height: 44, Width: 77}
		}},
		steps: []step{
			call{words: "run --bundle $B c", tty: true}.step(), call{words: "run --detach --bundle $B --console-socket $D/socket --pid-file $D/pid c", socket: true}.step(),
			waits("stopped"), run("delete c"), run("run --detach --bundle $B c"), run("create --bundle $B c"), run("create --bundle $B --console-socket $D/nosuch c"),
			call{words: "create --bundle $B --console-socket $D/socket --pid-file $D/pid c", socket: true, later: []step{run("start c"), waits("stopped")}}.step(),
			run("delete c"), look,
		},
	},
	{
		name:  "hooks of the user's own in every place",
		edits: []rig.Edit{hooked("")},
		steps: []step{
			run("create --bundle $B --pid-file $D/pid c"), shows("hooks"), look, run("start c"), look, run("kill c KILL"), waits("stopped"), run("delete c"),
			shows("hooks"), shows("rootfs/hooks"), look,
		},
	},
	failing("prestart"), failing("createRuntime"), failing("createContainer"), failing("startContainer"), failing("poststart"), failing("poststop"),
	{
		name: "in all namespaces, of another user",
		edits: []rig.Edit{func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.CgroupNamespace})
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
			s.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7}}
		}},
		steps: []step{run("run --detach --bundle $B --pid-file $D/pid c"), look, run("exec c /bin/sh -c busybox~id;cat~/proc/self/uid_map"), run("delete --force c"), look},
	},
	{
		name: "with a time namespace",
		edits: []rig.Edit{func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}}
		}},
		steps: []step{run("run --detach --bundle $B --pid-file $D/pid c"), look, run("delete --force c")}, // runc 1.1 knows none
	},
	{
		name: "in the host's namespaces",
		edits: []rig.Edit{func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}
			s.Hostname = ""
		}},
		steps: []step{run("run --detach --bundle $B --pid-file $D/pid c"), look, run("delete --force c"), look},
	},
	{
		name:  "with everything that an engine sets",
		edits: []rig.Edit{everything},
		steps: []step{
			run("run --detach --bundle $B --pid-file $D/pid c"), look, run("exec c /bin/sh -c busybox~id;busybox~egrep~'Cap|Sec|NoNew|Groups'~/proc/self/status"),
			run("exec c /bin/sh -c >/x"), run("exec c /bin/busybox mkdir /y"), run("events --stats nosuch"), run("delete --force c"), look,
		},
	},
	{
		name:  "with descriptors of the engine's",
		edits: []rig.Edit{sh("busybox ls -l /proc/self/fd | busybox sed 's/.* ..:.. //'; echo three >&3; echo four >&4")},
		steps: []step{
			call{words: "run --preserve-fds 2 --bundle $B c", files: []string{"three", "four"}}.step(),
			call{words: "run --bundle $B c", files: []string{"three", "four"}}.step(), run("run --preserve-fds 9 --bundle $B c"), run("run --preserve-fds x --bundle $B c"),
		},
	},
	{
		name: "updated",
		steps: []step{
			run("run --detach --bundle $B --pid-file $D/pid c"), run("update --memory 64000000 --memory-reservation 32000000 c"), look,
			run("update --pids-limit 77 --cpu-share 512 c"), look, puts("r.json", `{"memory":{"limit":48000000},"pids":{"limit":66}}`), run("update -r $D/r.json c"), look,
			call{words: "update --resources=- c", stdin: `{"memory":{"limit":40000000},"pids":{"limit":55}}`}.step(), look,
			call{words: "update --resources - c", stdin: "garbage"}.step(), call{words: "update --resources=- c", stdin: `{"cpu":{"quota":"x"}}`}.step(),
			call{words: "update --resources=- c", stdin: `{"pids":{"limit":44}} and more`}.step(), call{words: "update --resources=- c", stdin: "null"}.step(),
			run("update --resources $D/nosuch c"), run("update --memory lots c"), run("update --cpu-quota x c"), run("update --pids-limit x c"), run("update c"),
			run("update --kernel-memory 1 c"), look, run("kill c KILL"), waits("stopped"), run("update --memory 64000000 c"), run("delete c"), run("update --memory 1 c"), look,
		},
	},
	{
		name: "updated in its CPUs", ordinary: true,
		steps: []step{
			run("run --detach --bundle $B --pid-file $D/pid c"), run("update --cpuset-cpus 0 c"), look, run("update --cpuset-cpus 0-1 --cpuset-mems 0 c"), look,
			run("update --cpu-quota 50000 --cpu-period 100000 c"), look, run("update --cpuset-cpus 77 c"), run("update --cpuset-cpus x c"),
			run("update --cpuset-cpus 0-4294967295 c"), call{words: "update --resources=- c", stdin: `{"CPU":{"Cpus":"0"}}`}.step(), look,
			call{words: "update --resources=- c", stdin: `{"cpu":{"cpus":"1"},"cpu":{"shares":5}}`}.step(), look, run("delete --force c"),
		},
	},
}

// writable is a root file system that may be written.
func writable(s *specs.Spec) { s.Root.Readonly = false }

// hooked enters hooks that write down what they are given. The one in the place of failing says no.
func hooked(failing string) rig.Edit {
	return func(s *specs.Spec) {
		writable(s)
		s.Hooks = &specs.Hooks{}
		for place, list := range map[string]*[]specs.Hook{
			"prestart": &s.Hooks.Prestart, "createRuntime": &s.Hooks.CreateRuntime, "createContainer": &s.Hooks.CreateContainer, //nolint:staticcheck // engines still use it
			"startContainer": &s.Hooks.StartContainer, "poststart": &s.Hooks.Poststart, "poststop": &s.Hooks.Poststop,
		} {
			file := "HERE/hooks" // put right when the bundle is made
			if place == "startContainer" {
				file = "/hooks"
			}
			script := "exec >>" + file + "; echo " + place + "; cat; echo; /bin/busybox env | /bin/busybox sort; /bin/busybox ls /proc/self/fd"
			if place == failing {
				script += "; exit 9"
			}
			with := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"A=1"}}
			without := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}}
			*list = []specs.Hook{with, without}
		}
	}
}

func failing(place string) life {
	l := life{
		name:  "a " + place + " hook of the user's fails",
		edits: []rig.Edit{hooked(place)},
		steps: []step{run("run --detach --bundle $B --pid-file $D/pid c")},
	}
	if place == "startContainer" { // start has returned before, or runc has noticed in time: it is a race within runc
		l.steps = []step{run("create --bundle $B --pid-file $D/pid c"), {"start", (*player).startsAndEnds}}
	} else {
		l.steps = append(l.steps, run("state c"), step{"its program", func(p *player) { p.begins(p.state(id)) }})
	}
	l.steps = append(l.steps, run("delete --force c"), shows("hooks"), shows("rootfs/hooks"), look)
	return l
}

func everything(s *specs.Spec) {
	limit, pids, shares, score := int64(50_000_000), int64(99), uint64(512), 333
	mode, uid := os.FileMode(0o600), uint32(0)
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 512, Soft: 256}, {Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NPROC", Hard: 400, Soft: 300}}
	s.Process.NoNewPrivileges, s.Process.OOMScoreAdj = true, &score
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}}
	s.Process.User.AdditionalGids = []uint32{11, 12}
	s.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}},
	}
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/odd", Type: "c", Major: 1, Minor: 3, FileMode: &mode, UID: &uid, GID: &uid}}
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	rig.CPU(func(cpu *specs.LinuxCPU) { cpu.Shares = &shares })(s)
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = append(s.Linux.MaskedPaths, "/proc/version"), append(s.Linux.ReadonlyPaths, "/proc/sys")
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "size=64k", "ro"}},
		specs.Mount{Destination: "/host", Type: "bind", Source: "/etc", Options: []string{"rbind", "ro", "rprivate"}})
	s.Annotations = map[string]string{"org.example.a": "b"}
}
