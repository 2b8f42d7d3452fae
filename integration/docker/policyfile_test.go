package docker_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// spoil appends a line to the policy file that cannot be meant, and gives the way back.
func spoil(t *testing.T, line string) (repair func()) {
	t.Helper()
	path := engine.policy.Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	repair = func() {
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(repair)
	if err := os.WriteFile(path, append([]byte(line+"\n"), good...), 0o644); err != nil {
		t.Fatal(err)
	}
	return repair
}

func TestAGarbagePolicyFileStopsNoRunningContainer(t *testing.T) {
	for name, end := range map[string][]string{"stop": {"stop"}, "kill": {"kill"}, "rm -f": {"rm", "-f"}} {
		t.Run(name, func(t *testing.T) {
			unchanged(t)
			c := start(t, "rtshield-fifo", img, loop)
			repair := spoil(t, "[rumtime]")
			scheduled(t, c, fifo())
			if out := ok(t, "exec", c.id, "echo", "here"); out != "here" {
				t.Errorf("exec says %q", out)
			}
			ok(t, "pause", c.id)
			ok(t, "unpause", c.id)
			ok(t, append(end, c.id)...)
			if name == "kill" {
				ok(t, "wait", c.id)
			}
			repair()
			if list := grants(t); len(list) > 0 {
				t.Errorf("still held: %+v", list)
			}
		})
	}
}

func TestAGarbagePolicyFileIsNamedByDockerRun(t *testing.T) {
	unchanged(t)
	for _, garbage := range []struct{ line, at, expected string }{
		{"[rumtime]", ":1: ", `unknown key "rumtime": expected one of \[runtime\]`},
		{"\n[class.fifo]\npriority = 200", ":3: ", `priority = "200": expected 1-99`},
		{"]]", ":1: ", ""},
	} {
		repair := spoil(t, garbage.line)
		for _, runtime := range []string{"rtshield-fifo", "rtshield"} {
			r := docker(t, args(runtime, "--rm", img, "true")...)
			refused(t, r, engine.policy.Path+garbage.at)
			if !regexp.MustCompile(garbage.expected).MatchString(r.stderr) {
				t.Errorf("does not say what was expected, %s: %v", garbage.expected, r)
			}
		}
		ok(t, args("runc", "--rm", img, "true")...)
		repair()
		ok(t, args("rtshield-fifo", "--rm", img, "true")...)
	}
}

func TestDockerTakesUsForRunc(t *testing.T) {
	unchanged(t)
	for _, name := range []string{"rtshield", "rtshield-fifo", "rtshield-rr"} {
		path := ok(t, "info", "--format", `{{(index .Runtimes "`+name+`").Path}}`)
		if path != engine.path("bin/"+name) {
			t.Errorf("docker info: runtime %s is %q", name, path)
		}
	}
	t.Cleanup(func() { useRuntime(t, "runc") })
	useRuntime(t, "rtshield")
	// As the default runtime it is asked for its version, which is the delegate's.
	runc, err := testhost.FindRunc()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(runc, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`runc version (\S+)`).FindSubmatch(said)
	got := ok(t, "version", "--format", `{{range .Server.Components}}{{.Name}} {{.Version}};{{end}}`)
	if want == nil || !strings.Contains(got, ";rtshield "+string(want[1])+";") {
		t.Errorf("docker version shows %q, the delegate %s", got, said)
	}
	ok(t, "run", "--rm", "--net=none", img, "true")
}

// useRuntime makes a runtime the daemon's default, as an administrator does: daemon.json and SIGHUP.
func useRuntime(t *testing.T, name string) {
	t.Helper()
	if err := engine.configure(name); err != nil {
		t.Fatal(err)
	}
	if err := engine.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testhost.Eventually(t, 5*time.Second, func() error {
		if got := ok(t, "info", "--format", "{{.DefaultRuntime}}"); got != name {
			return &unexpected{"default runtime", got, name}
		}
		return nil
	})
}

type unexpected struct{ what, got, want string }

func (e *unexpected) Error() string { return e.what + " is " + e.got + ", want " + e.want }
