package differential

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

// mistakes are command lines that no container answers.
var mistakes = []string{
	"state nosuch", "start nosuch", "kill nosuch", "kill nosuch KILL", "delete nosuch", "delete --force nosuch", "pause nosuch", "resume nosuch", "ps nosuch",
	"exec nosuch /bin/true", "events nosuch", "update --memory 1 nosuch", "update nosuch", "checkpoint nosuch", "restore --bundle $B nosuch",
	"state", "start", "kill", "delete", "pause", "resume", "ps", "exec", "events", "update", "checkpoint", "create", "run", "restore",
	"state a b", "start a b", "delete a b", "create a b", "run a b", "state --nosuch c", "delete --nosuch c", "kill --nosuch c", "exec --nosuch c true", "update --nosuch c",
	"start --help", "create --help", "state --help", "nosuch", "list", "list -q", "list --format json", "list --format xml", "features", "init",
	"create --bundle $D/nosuch c", "run --bundle $D/nosuch c", "create --bundle $D c", "create --bundle $B", "create --bundle",
	"create --bundle $B ../c", "create --bundle $B a/b", "create --bundle $B a~b", "create --bundle $B .", "create --bundle $B ..", "create --bundle $B -c",
	"create --bundle $B " + strings.Repeat("x", 1000), "create --bundle $B a$Nb", "create --bundle $B \u00e9", "delete ../../x", "state ../../x", "delete --force ../../x",
	"create --bundle $B --pid-file $D/nosuch/pid c", "delete c", "create --bundle $B --preserve-fds 7 c", "create --bundle $B --console-socket $D c",
}

// globals are command lines with faults before the verb, or none.
var globals = []string{
	"--nosuch state c", "--root", "--debug=maybe state c", "--log $D/nosuch/log state c", "--log-format xml state c", "--root $D/empty list", "--root $D/log/x state c",
	"--systemd-cgroup state c", "--rootless maybe state c", "--log-format xml --root $D/r create --bundle $B c",
}

func errorLife() life {
	l := life{name: "mistakes on the command line", ordinary: true}
	for _, words := range mistakes {
		l.steps = append(l.steps, run(words))
	}
	for _, words := range globals {
		l.steps = append(l.steps, call{words: words, bare: true}.step())
	}
	return l
}

// ours are command lines that rtshield answers in its own words.
var ours = []string{"--version", "--help", "help", "", "create --nosuch --bundle $B c", "status --nosuch"}

// broken are edits of config.json, as a text or as a specification.
var broken = []struct {
	name string
	text func(string) string
	edit rig.Edit
}{
	{"empty", always(""), nil}, {"garbage", always("garbage"), nil}, {"an array", always("[]"), nil}, {"null", always("null"), nil}, {"an empty object", always("{}"), nil},
	{"cut off", func(s string) string { return s[:len(s)/2] }, nil},
	{"with a word behind it", func(s string) string { return s + " and more" }, nil},
	{"with a byte order mark", func(s string) string { return "\ufeff" + s }, nil},
	{"with keys in other letters", func(s string) string {
		return strings.NewReplacer(`"linux"`, `"Linux"`, `"process"`, `"PROCESS"`, `"args"`, `"Args"`).Replace(s)
	}, nil},
	{"with a key twice", func(s string) string {
		return strings.Replace(s, "{", `{"hostname":"other","process":{"cwd":"/bin"},`, 1)
	}, nil},
	{"with a wrong type", func(s string) string { return strings.Replace(s, `"hostname": "test"`, `"hostname": 7`, 1) }, nil},
	{"without a process", nil, func(s *specs.Spec) { s.Process = nil }},
	{"without a program", nil, func(s *specs.Spec) { s.Process.Args = nil }},
	{"without a root", nil, func(s *specs.Spec) { s.Root = nil }},
	{"without linux", nil, func(s *specs.Spec) { s.Linux = nil }},
	{"with a relative cwd", nil, func(s *specs.Spec) { s.Process.Cwd = "bin" }},
	{"with a cwd that is not there", nil, func(s *specs.Spec) { s.Process.Cwd = "/nosuch" }},
	{"with a program that is not there", nil, rig.Args("/nosuch")},
	{"with a root that is not there", nil, func(s *specs.Spec) { s.Root.Path = "/nosuch" }},
	{"with a mount that is not there", nil, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/nosuch", Type: "bind", Options: []string{"bind"}})
	}},
	{"with CPUs that are not there", nil, rig.CPUs("77")},
	{"with CPUs in words", nil, rig.CPUs("one")},
	{"with more CPUs than there are numbers", nil, rig.CPUs("0-4294967295")},
	{"with memory nodes that are not there", nil, rig.CPU(func(cpu *specs.LinuxCPU) { cpu.Mems = "7" })},
	{"with an unknown namespace", nil, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "odd"})
	}},
	{"with an unknown capability", nil, func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_ODD"} }},
	{"with an unknown limit", nil, func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_ODD"}} }},
	{"with a soft limit above the hard", nil, func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 7}} }},
	{"with an unknown seccomp action", nil, func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ODD"} }},
	{"with a sysctl of the host's", nil, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.panic": "1"} }},
	{"with a hook of a relative path", nil, func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "bin/true"}}} }},
	{"with a hook that is not there", nil, func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/nosuch"}}} }},
	{"with unified resources on cgroup v1", nil, func(s *specs.Spec) { s.Linux.Resources.Unified = map[string]string{"cpuset.cpus": "0"} }},
}

func always(text string) func(string) string { return func(string) string { return text } }

func brokenLives() []life {
	var all []life
	for _, b := range broken {
		l := life{name: "a config.json " + b.name, ordinary: true}
		if b.edit != nil {
			l.edits = []rig.Edit{b.edit}
		} else {
			l.steps = append(l.steps, step{"an edit", func(p *player) {
				p.Helper()
				path := filepath.Join(p.bundle, "config.json")
				if err := os.WriteFile(path, []byte(b.text(p.Raw(p.bundle))), 0o644); err != nil {
					p.Fatal(err)
				}
			}})
		}
		l.steps = append(l.steps, run("run --bundle $B --detach --pid-file $D/pid c"), run("delete --force c"))
		all = append(all, l)
	}
	return all
}
