package argv

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	g := "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json "
	k8s := Invocation{Root: "/run/containerd/runc/k8s.io", Log: "/b/log.json", LogFormat: "json"}
	with := func(inv Invocation, change func(*Invocation)) Invocation { change(&inv); return inv }
	verb := func(name string, args ...string) Invocation {
		inv := Invocation{Verb: name, Args: args}
		if len(args) > 0 {
			inv.ID = args[0]
		}
		return inv
	}

	tests := []struct {
		args string // split at spaces; "''" is an empty argument
		want Invocation
	}{
		// What containerd, Docker, Podman and CRI-O send.
		{g + "create --bundle /b --pid-file /b/init.pid web", with(k8s, func(i *Invocation) {
			i.Verb, i.Args, i.ID, i.Bundle, i.PidFile = "create", []string{"web"}, "web", "/b", "/b/init.pid"
		})},
		{g + "exec --process /tmp/p --console-socket /s --detach --pid-file /b/e.pid web", with(k8s, func(i *Invocation) {
			i.Verb, i.Args, i.ID, i.Process, i.ConsoleSocket, i.Detach, i.PidFile = "exec", []string{"web"}, "web", "/tmp/p", "/s", true, "/b/e.pid"
		})},
		{g + "update --resources=- web", with(k8s, func(i *Invocation) {
			i.Verb, i.Args, i.ID, i.Resources = "update", []string{"web"}, "web", "-"
		})},
		{g + "kill --all web 9", with(k8s, func(i *Invocation) {
			i.Verb, i.Args, i.ID, i.All = "kill", []string{"web", "9"}, "web", true
		})},
		{g + "delete --force web", with(k8s, func(i *Invocation) {
			i.Verb, i.Args, i.ID, i.Force = "delete", []string{"web"}, "web", true
		})},
		{g + "ps --format json web", with(k8s, func(i *Invocation) { i.Verb, i.Args, i.ID = "ps", []string{"web"}, "web" })},
		{"features", verb("features")},
		{"--systemd-cgroup --cgroup-manager systemd --log-level=debug run -d -b /b web", Invocation{
			SystemdCgroup: true, Verb: "run", Args: []string{"web"}, ID: "web", Detach: true, Bundle: "/b"}},

		// Words that are not the verb although they look like it.
		{"exec web create x", verb("exec", "web", "create", "x")},
		{"exec web app --version", verb("exec", "web", "app", "--version")},
		{"exec web sh --help -p /x", verb("exec", "web", "sh", "--help", "-p", "/x")},
		{"--log create state x", with(verb("state", "x"), func(i *Invocation) { i.Log = "create" })},
		{"delete create", verb("delete", "create")},
		{"--root --debug create x", with(verb("create", "x"), func(i *Invocation) { i.Root = "--debug" })},
		{"--log -- create x", with(verb("create", "x"), func(i *Invocation) { i.Log = "--" })},
		{"create -b run x", with(verb("create", "x"), func(i *Invocation) { i.Bundle = "run" })},

		// Ways to write a flag.
		{"-root /r -log=/l -log-format=json -debug state x", with(verb("state", "x"), func(i *Invocation) {
			i.Root, i.Log, i.LogFormat, i.Debug = "/r", "/l", "json", true
		})},
		{"--debug=false --root= state x", verb("state", "x")},
		{"--root /a --root=/b --debug --debug=0 state x", with(verb("state", "x"), func(i *Invocation) { i.Root = "/b" })},
		{"--log=a=b state x", with(verb("state", "x"), func(i *Invocation) { i.Log = "a=b" })},
		{"delete -f=T x", with(verb("delete", "x"), func(i *Invocation) { i.Force = true })},
		{"create --b=/x x", with(verb("create", "x"), func(i *Invocation) { i.Bundle = "/x" })},
		{"-- create x", verb("create", "x")},
		{"delete -- --force", verb("delete", "--force")},
		{"exec -- web ls", verb("exec", "web", "ls")},
		{"exec web -- ls", verb("exec", "web", "--", "ls")},

		// Flags behind the container, except for exec and ps.
		{"delete x --force", with(verb("delete", "x"), func(i *Invocation) { i.Force = true })},
		{"create x --bundle /b --pid-file=/p", with(verb("create", "x"), func(i *Invocation) { i.Bundle, i.PidFile = "/b", "/p" })},
		{"kill x -9", verb("kill", "x", "-9")},
		{"kill x --all 9", with(verb("kill", "9", "x"), func(i *Invocation) { i.All = true })}, // runc reads it so, too
		{"ps x --format json", verb("ps", "x", "--format", "json")},
		{"exec x -d", verb("exec", "x", "-d")},

		// No verb, none that we know, none that would run.
		{"", Invocation{}},
		{"--debug", Invocation{Debug: true}},
		{"frobnicate --root x create", Invocation{Verb: "frobnicate"}},
		{"init", Invocation{Verb: "init"}},
		{"'' create", Invocation{}},
		{"- create", Invocation{Verb: "-"}},
		{"--help create x", Invocation{Help: true}},
		{"-h", Invocation{Help: true}},
		{"--version", Invocation{Version: true}},
		{"-v create x", Invocation{Version: true}},
		{"--version=false state x", verb("state", "x")},
		{"create --help x", with(verb("create", "x"), func(i *Invocation) { i.Help = true })},
		{"create x -h", with(verb("create", "x"), func(i *Invocation) { i.Help = true })},
		{"delete --help=false x", verb("delete", "x")},
		{"help create", Invocation{Verb: "help", Args: []string{"create"}, Help: true}},
		{"h create", Invocation{Verb: "h", Args: []string{"create"}, Help: true}},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := Parse(argv(tt.args))
			got.Argv, got.given, got.verbAt = nil, nil, 0
			if len(got.Args) == 0 {
				got.Args = nil
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
	if got := Parse(nil); got.Verb != "" || got.Malformed != "" {
		t.Errorf("empty argv: %+v", got)
	}
}

func TestParseMalformed(t *testing.T) {
	for args, want := range map[string]string{
		"--bogus create x":               "unknown flag -bogus",
		"--debug=maybe create x":         `invalid boolean value "maybe"`,
		"---root create x":               "bad flag syntax: ---root",
		"--=x create x":                  "bad flag syntax: --=x",
		"--root":                         "flag -root needs a value",
		"-h --help":                      "two forms of the same flag: h help",
		"create --bogus x":               "create: unknown flag -bogus",
		"create --debug x":               "create: unknown flag -debug", // a global one
		"create --version x":             "create: unknown flag -version",
		"create -b /x --bundle /y x":     "create: two forms of the same flag: b bundle",
		"create":                         "create: 0 operands",
		"create x --bundle":              "create: 0 operands", // x is the bundle
		"create x y":                     "create: 2 operands",
		"delete x --bogus":               "delete: 2 operands",
		"delete x -- --force":            "delete: 2 operands",
		"kill x 9 9":                     "kill: 3 operands",
		"list x":                         "list: 1 operands",
		"exec -d":                        "exec: 0 operands",
		"create --bundle":                "create: flag -bundle needs a value",
		"create --preserve-fds lots x":   `create: invalid number "lots"`,
		"events --interval soon x":       `events: invalid duration "soon"`,
		"kill -9 x":                      "kill: unknown flag -9",
		"exec -dt x":                     "exec: unknown flag -dt", // crun would take it
		"delete ---force x":              "delete: bad flag syntax: ---force",
		"--root /r --log /l -x create x": "unknown flag -x",
	} {
		got := Parse(argv(args))
		if got.Verb != "" || got.ID != "" || !strings.Contains(got.Malformed, want) {
			t.Errorf("%s: verb %q, id %q, malformed %q; want it to say %q", args, got.Verb, got.ID, got.Malformed, want)
		}
	}
	// Even then an error of ours must find its way into the log.
	if got := Parse(argv("--log /l --bogus")); got.Log != "/l" {
		t.Errorf("log before the fault: %q", got.Log)
	}
}

func TestFlag(t *testing.T) {
	inv := Parse(argv("update -r - --cpuset-cpus 1 --cpuset-cpus=2 web"))
	for name, want := range map[string]string{"r": "-", "resources": "-", "cpuset-cpus": "2"} {
		if got, ok := inv.Flag(name); !ok || got != want {
			t.Errorf("%s: %q %v", name, got, ok)
		}
	}
	if got, ok := inv.Flag("cpuset-mems"); ok || got != "" {
		t.Errorf("absent flag: %q %v", got, ok)
	}
	if _, ok := inv.Flag(""); ok {
		t.Error("the empty name matched")
	}
}

func TestReplace(t *testing.T) {
	for args, want := range map[string]string{
		"update --resources=- web":               "update --resources=NEW web",
		"update -r - web":                        "update --resources=NEW web",
		"update web -r x -r y":                   "update web --resources=NEW --resources=NEW",
		"--debug update web":                     "--debug update --resources=NEW web",
		"update -- web":                          "update --resources=NEW -- web",
		"--log update update web":                "--log update update --resources=NEW web",
		"update web --cpu-quota 5 --resources=-": "update web --cpu-quota 5 --resources=NEW",
		"--bogus update web":                     "--bogus update web",
	} {
		before := argv(args)
		got := Parse(before).Replace("resources", "NEW")
		if !slices.Equal(got, argv(want)) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
		if !slices.Equal(before, argv(args)) {
			t.Errorf("%s: the original was changed: %q", args, before)
		}
	}
	got := Parse(argv("exec -p a web -p b")).Replace("process", "NEW")
	if !slices.Equal(got, argv("exec --process=NEW web -p b")) {
		t.Errorf("exec: %q", got)
	}
}

// argv makes a command line out of its arguments, split at spaces.
func argv(args string) []string {
	out := append([]string{"runc"}, strings.Fields(args)...)
	for i := range out {
		if out[i] == "''" {
			out[i] = ""
		}
	}
	return out
}

func BenchmarkParse(b *testing.B) {
	args := argv("--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid web")
	for b.Loop() {
		Parse(args)
	}
}
