package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/engine"
)

// site is a host in a directory. Its programs are played by this test, which calls internal/engine as they would.
type site struct {
	Node
	t        *testing.T
	active   string // the service that runs
	restarts []string
	calls    []string
	broken   string // a command that fails
}

func newSite(t *testing.T, name, config string) *site {
	t.Helper()
	root, image := t.TempDir(), t.TempDir()
	s := &site{t: t, active: name, Node: Node{
		Root: root, Dir: "/opt/rtshield", Image: image, Engine: name, Config: config, Classes: []string{"fifo", "rr"},
		Policy: filepath.Join(image, "policy/config.toml"), Log: func(string) {},
	}}
	s.Run = s.run
	s.put(filepath.Join(image, "rtshield"), "rtshield, the first")
	s.put(filepath.Join(image, "runc"), "runc")
	s.put(s.path("usr/bin/runc"), "the host's")
	for _, dir := range []string{"proc", "run/containerd", filepath.Dir(config)} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) put(path, text string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) run(_ context.Context, argv ...string) (string, error) {
	call := strings.Join(argv, " ")
	s.calls = append(s.calls, call)
	if s.broken != "" && strings.Contains(call, s.broken) {
		return "", errors.New("broken")
	}
	if argv[0] == "systemctl" {
		if unit := argv[len(argv)-1]; unit != s.active {
			return "", errors.New("inactive")
		} else if argv[1] == "restart" {
			s.restarts = append(s.restarts, unit)
		}
		return "", nil
	}
	if argv[0] == "systemd-run" {
		argv = argv[slices.IndexFunc(argv, func(word string) bool { return strings.HasPrefix(word, "/") }):]
	}
	if _, err := os.Stat(s.path(argv[0])); err != nil {
		s.t.Errorf("%s: %v", call, err)
	}
	switch argv[1] {
	case "status":
		if argv[2] == "--prometheus" {
			return "# TYPE rtshield_build_info gauge\nrtshield_build_info{version=\"1\"} 1\n", nil
		}
		return `{"layout": {"housekeeping": "0", "pool": "1-3"}, "free": "2-3"}`, nil
	case "reconcile":
		return "nothing to do: no container holds a CPU, and no setting waits to go back\n", nil
	}
	return s.rtshield(argv)
}

// rtshield does what its commands install and uninstall do.
func (s *site) rtshield(argv []string) (string, error) {
	i := slices.IndexFunc(engine.Engines(), func(e engine.Engine) bool { return e.Name == argv[2] })
	e := engine.Engines()[i]
	var classes []string
	for i, word := range argv {
		if word == "--class" {
			classes = append(classes, argv[i+1])
		}
	}
	if argv[3] != "--config" {
		s.t.Fatalf("%q", argv)
	}
	runtimes, err := engine.Runtimes("rtshield", s.path(argv[0]), classes)
	if err != nil {
		return "", err
	}
	plan, err := e.Install(s.path(argv[4]), runtimes)
	if argv[1] == "uninstall" {
		plan, err = e.Uninstall(s.path(argv[4]))
	}
	if err != nil {
		return "", err
	}
	if plan.Nothing() {
		return "nothing to do: it has them\n", nil
	}
	if slices.Contains(argv, "--dry-run") {
		return "would edit\n", nil
	}
	return "edit\n", plan.Apply()
}

// tree is all that is in a directory, with its mode.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			all[path] += " " + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s: %s is\n%q\nwant\n%q", what, path, got[path], want[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[path]; !known {
			t.Errorf("%s: %s is new", what, path)
		}
	}
}

func (s *site) must(do func(context.Context) error) {
	s.t.Helper()
	if err := do(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// corpus runs a test on hosts with each configuration that internal/engine is tested with.
func corpus(t *testing.T, test func(*testing.T, *site)) {
	t.Helper()
	for name, config := range map[string]string{"containerd": "/etc/containerd/config.toml", "crio": "/etc/crio/crio.conf", "docker": "/etc/docker/daemon.json"} {
		cases, err := filepath.Glob("../engine/testdata/" + name + "/*")
		if err != nil || len(cases) == 0 {
			t.Fatalf("%v: %q", err, cases)
		}
		for _, from := range append(cases, "") {
			t.Run(name+"/"+filepath.Base(from), func(t *testing.T) {
				s := newSite(t, name, config)
				if from != "" {
					s.lay(from)
				}
				test(t, s)
			})
		}
	}
}

// lay copies a configuration to the host. What it calls DIR is its directory, as internal/engine sees it here.
func (s *site) lay(from string) {
	s.t.Helper()
	dir := filepath.Dir(s.path(s.Config))
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		s.t.Fatal(err)
	}
	for path := range tree(s.t, dir) {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		s.put(path, strings.ReplaceAll(string(text), "DIR", dir))
		if strings.HasSuffix(path, ".tmpl") {
			s.Config = strings.TrimPrefix(path, s.Root)
		}
	}
}

func TestTheHostIsAsBeforeByteForByte(t *testing.T) {
	corpus(t, func(t *testing.T, s *site) {
		before := tree(t, s.Root)
		s.must(s.Install)
		installed := tree(t, s.Root)
		if len(installed) < len(before)+4 || len(s.restarts) != 1 {
			t.Errorf("installed are %d files, restarts %q", len(installed)-len(before), s.restarts)
		}
		s.must(s.Install)
		s.must(s.Check)
		same(t, "after the second install", tree(t, s.Root), installed)
		if len(s.restarts) != 1 {
			t.Errorf("the engine was restarted %d times", len(s.restarts))
		}

		// An upgrade: another program, at the same place.
		s.put(filepath.Join(s.Image, "rtshield"), "rtshield, the second")
		s.must(s.Install)
		upgraded := maps.Clone(installed)
		upgraded[s.path("opt/rtshield/bin/rtshield")] = "-rwxr-xr-x rtshield, the second"
		same(t, "after the upgrade", tree(t, s.Root), upgraded)
		if len(s.restarts) != 1 {
			t.Error("an upgrade restarted the engine")
		}

		s.must(s.Remove)
		same(t, "after install, upgrade and remove", tree(t, s.Root), before)
		if len(s.restarts) != 2 {
			t.Errorf("restarts: %q", s.restarts)
		}
		s.must(s.Remove)
		same(t, "after the second remove", tree(t, s.Root), before)
	})
}

func TestAnUpgradeGivesTheProgramANewInode(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.must(s.Install)
	running, err := os.Open(s.path("opt/rtshield/bin/rtshield"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	s.put(filepath.Join(s.Image, "rtshield"), "rtshield, the second")
	s.must(s.Install)
	text := make([]byte, 100)
	if n, _ := running.Read(text); string(text[:n]) != "rtshield, the first" {
		t.Errorf("what runs is now %q", text[:n])
	}
}

func TestWhateverFailsIsDoneByTheNextInstallAndUndoneByRemove(t *testing.T) {
	for _, broken := range []string{"install containerd --config /etc/containerd/config.toml --class fifo --class rr --dry-run", "--class rr", "restart containerd"} {
		s := newSite(t, "containerd", "/etc/containerd/config.toml")
		s.lay("../engine/testdata/containerd/kubeadm-v3")
		before := tree(t, s.Root)
		s.broken = broken
		if err := s.Install(context.Background()); err == nil {
			t.Fatalf("%s: no error", broken)
		}
		s.broken = ""
		halfway := &site{t: t, active: s.active, Node: s.Node}
		halfway.Run = halfway.run
		halfway.must(halfway.Install)
		if len(halfway.restarts) != 1 {
			t.Errorf("%s: the next install restarts %q", broken, halfway.restarts)
		}
		for _, word := range []string{"uninstall containerd --config /etc/containerd/config.toml", "restart containerd", "reconcile"} {
			s.broken = word
			if err := s.Remove(context.Background()); err == nil && word != "restart containerd" {
				t.Errorf("%s: remove says nothing of a broken %s", broken, word)
			}
		}
		s.broken = ""
		s.must(s.Remove)
		same(t, broken, tree(t, s.Root), before)
	}
}

func TestWhatContainersOfOursNeedStaysUntilTheyAreGone(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.must(s.Install)
	before := tree(t, s.Root)
	note := s.path("run/containerd/io.containerd.runtime.v2.task/k8s.io/web/options.json")
	other := s.path("run/containerd/io.containerd.runtime.v2.task/k8s.io/other/options.json")
	conmon := s.path("proc/77/cmdline")
	for path, text := range map[string]string{
		note: `{"binary_name":"/opt/rtshield/bin/rtshield-fifo"}`, other: `{"binary_name":"/usr/bin/runc"}`,
		conmon:                      "/usr/bin/conmon\x00-b\x00/run/b\x00-c\x00job\x00-r\x00/opt/rtshield/bin/rtshield\x00",
		s.path("proc/78/cmdline"):   "/usr/bin/conmon\x00-c\x00plain\x00-r\x00/usr/bin/crun\x00",
		s.path("proc/79/cmdline"):   "/opt/rtshield/bin/rtshield\x00status\x00",
		s.path("proc/cmdline"):      "quiet",
		s.path("proc/80/cmdline"):   "",
		s.path("proc/self/cmdline"): "x",
	} {
		s.put(path, text)
	}
	err := s.Remove(context.Background())
	var users InUse
	if !errors.As(err, &users) || !reflect.DeepEqual([]string(users), []string{"job", "web"}) {
		t.Fatalf("%v", err)
	}
	if after := tree(t, s.path("opt")); len(after) == 0 || len(s.restarts) != 1 || after[s.path("opt/rtshield/node.json")] != before[s.path("opt/rtshield/node.json")] {
		t.Errorf("something was changed: %q", s.restarts)
	}
	if err := errors.Join(os.Remove(note), os.Remove(conmon)); err != nil {
		t.Fatal(err)
	}
	s.must(s.Remove)
	if _, err := os.Stat(s.path("opt")); err == nil {
		t.Error("something is left")
	}
}

func TestAContainerThatStartsWhileTheEngineStillKnowsUsIsWaitedForToo(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	before := tree(t, s.path("etc"))
	s.must(s.Install)
	note := s.path("run/containerd/io.containerd.runtime.v2.task/k8s.io/late/options.json")
	s.Run = func(ctx context.Context, argv ...string) (string, error) {
		if argv[1] == "restart" {
			s.put(note, `{"binary_name":"/opt/rtshield/bin/rtshield"}`)
		}
		return s.run(ctx, argv...)
	}
	var users InUse
	if err := s.Remove(context.Background()); !errors.As(err, &users) {
		t.Fatalf("%v", err)
	}
	same(t, "the engine's configuration", tree(t, s.path("etc")), before)
	if _, err := os.Stat(s.path("opt/rtshield/bin/rtshield")); err != nil {
		t.Errorf("what would end it is gone: %v", err)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	s.must(s.Remove)
	if _, err := os.Stat(s.path("opt")); err == nil || len(s.restarts) != 2 {
		t.Errorf("left, or restarted without need: %q", s.restarts)
	}
}

func TestAnotherConfigurationLeavesTheFormerAsItWas(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.lay("../engine/testdata/containerd/kubeadm-v3")
	before := tree(t, s.path("etc"))
	s.must(s.Install)
	s.Config, s.Units = "/var/lib/k3s/config-v3.toml.tmpl", []string{"k3s", "containerd"}
	if err := os.MkdirAll(filepath.Dir(s.path(s.Config)), 0o755); err != nil {
		t.Fatal(err)
	}
	s.must(s.Install)
	same(t, "the former", tree(t, s.path("etc")), before)
	if text, err := os.ReadFile(s.path(s.Config)); err != nil || !strings.Contains(string(text), "rtshield-rr") {
		t.Errorf("%v:\n%s", err, text)
	}
}

func TestTheFallbackIsForAHostWithoutADelegate(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.must(s.Install)
	fallback := s.path("opt/rtshield/bin/runc")
	if _, err := os.Stat(fallback); err == nil {
		t.Error("the host has runc, and got another")
	}
	if err := os.Remove(s.path("usr/bin/runc")); err != nil {
		t.Fatal(err)
	}
	s.must(s.Install)
	if text, err := os.ReadFile(fallback); err != nil || string(text) != "runc" {
		t.Errorf("%q, %v", text, err)
	}
	// What was given is kept up to date: containers may have been started by it.
	s.put(s.path("usr/bin/runc"), "the host's")
	s.put(filepath.Join(s.Image, "runc"), "runc, newer")
	s.must(s.Install)
	if text, err := os.ReadFile(fallback); err != nil || string(text) != "runc, newer" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestThePolicyComesAndGoes(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	before := tree(t, s.Root)
	for _, text := range []string{"[layout]\nshield = \"2-3\"\n", "[layout]\nshield = \"3\"\n"} {
		s.put(s.Policy, text)
		s.must(s.Install)
		if have, err := os.ReadFile(s.path("etc/rtshield/config.toml")); err != nil || string(have) != text {
			t.Errorf("%q, %v", have, err)
		}
	}
	s.put(s.Policy, "[layout]\nshields = \"3\"\n")
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), `unknown key "layout.shields"`) {
		t.Errorf("a policy with a mistake: %v", err)
	}
	if err := os.Remove(s.Policy); err != nil {
		t.Fatal(err)
	}
	s.must(s.Install)
	if _, err := os.Stat(s.path("etc/rtshield/config.toml")); err == nil {
		t.Error("the policy was taken away, and still is there")
	}
	s.must(s.Remove)
	same(t, "after remove", tree(t, s.Root), before)
}

func TestAPolicyOfTheHostsOwnIsNotReplaced(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.put(s.path("etc/rtshield/config.toml"), "[layout]\n")
	before := tree(t, s.Root)
	s.must(s.Install) // without one to give
	s.must(s.Remove)
	same(t, "after remove", tree(t, s.Root), before)
	s.put(s.Policy, "[layout]\nshield = \"3\"\n")
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "the host has a policy of its own, /etc/rtshield/config.toml: move it away") {
		t.Errorf("%v", err)
	}
}

func TestTheEngineThatRunsIsTheOneThatIsMeant(t *testing.T) {
	s := newSite(t, "crio", "/etc/crio/crio.conf")
	s.Engine, s.Config = "", ""
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "0 that are known run here (): say --engine") {
		t.Errorf("%v", err)
	}
	s.put(s.path("run/crio/crio.sock"), "")
	s.must(s.Install)
	if _, err := os.Stat(s.path("etc/crio/crio.conf.d/99-rtshield.conf")); err != nil || len(s.restarts) != 1 {
		t.Errorf("%v, %q", err, s.restarts)
	}
	s.put(s.path("run/containerd/containerd.sock"), "")
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "2 that are known run here (containerd, crio)") {
		t.Errorf("%v", err)
	}
	s.Engine = "podman"
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "--engine podman: expected containerd, crio or docker") {
		t.Errorf("%v", err)
	}
}

func TestAServiceThatIsNotThereIsAnError(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.active, s.Units = "k3s-agent", []string{"k3s"}
	if err := s.Install(context.Background()); err == nil || !strings.Contains(err.Error(), "no service is active that would read the configuration (k3s): name it with --unit") {
		t.Errorf("%v", err)
	}
	s.Units = []string{"k3s", "k3s-agent"}
	s.must(s.Install)
	if fmt.Sprint(s.restarts) != "[k3s-agent]" {
		t.Errorf("%q", s.restarts)
	}
}

func TestCheckSeesThatSomebodyWroteTheConfigurationAnew(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.lay("../engine/testdata/containerd/kubeadm-v3")
	before, err := os.ReadFile(s.path(s.Config))
	if err != nil {
		t.Fatal(err)
	}
	s.must(s.Install)
	s.must(s.Check)
	s.put(s.path(s.Config), string(before))
	if err := s.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "somebody has written it anew") {
		t.Errorf("%v", err)
	}
	s.must(s.Install)
	if len(s.restarts) != 2 {
		t.Errorf("%q", s.restarts)
	}
}
