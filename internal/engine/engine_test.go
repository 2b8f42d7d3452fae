package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// engineOf gives an engine by its name.
func engineOf(t *testing.T, name string) Engine {
	t.Helper()
	i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == name })
	if i < 0 {
		t.Fatal(name)
	}
	return engines[i]
}

// entry is what the configuration says of a runtime once it is installed.
func entry(t *testing.T, engine, from, name string) map[string]any {
	t.Helper()
	s := lay(t, engineOf(t, engine), "testdata/"+engine+"/"+from)
	s.install(t, asked...)
	path := s.edited(t)
	all := decode(t, path, s.files(t)[path])
	for _, at := range [][]string{{"plugins", plugins[2], "containerd", "runtimes"}, {"plugins", plugins[4], "containerd", "runtimes"}, {"crio", "runtime", "runtimes"}} {
		if table := lookup(all, append(at, name)...); table != nil {
			return table
		}
	}
	t.Fatalf("no %s in %v", name, all)
	return nil
}

func TestAContainerdRuntimeHasWhatTheUsualOneHas(t *testing.T) {
	annotations := []any{"rtshield.io/*", "*.rtshield.io/*"}
	for from, want := range map[string]map[string]any{
		"debian-v2":                {"options": map[string]any{}},
		"kubeadm-v2":               {"runtime_root": nil, "runtime_engine": nil, "options": map[string]any{"SystemdCgroup": true}},
		"no-final-newline-crlf-v2": {"options": map[string]any{"SystemdCgroup": true}},
		"imports-a-file-v2":        {"options": map[string]any{"SystemdCgroup": true}},
		"conf.d-v2":                {"base_runtime_spec": "/etc/containerd/base-runtime-spec.json", "options": map[string]any{"SystemdCgroup": true}},
		"conf.d-with-nvidia-v2":    {"options": map[string]any{"SystemdCgroup": true}},
		"kubeadm-v3":               {"sandboxer": "podsandbox", "options": map[string]any{"SystemdCgroup": true}},
		"conf.d-v3":                {"options": map[string]any{"SystemdCgroup": true}},
		"default-v4":               {"sandboxer": "podsandbox", "cni_conf_dir": nil, "options": map[string]any{"SystemdCgroup": false, "NoNewKeyring": false}},
		"nvidia-default-v2":        {"pod_annotations": append([]any{"cdi.k8s.io/*"}, annotations...), "options": map[string]any{"SystemdCgroup": true}},
		"default-v2":               {"options": map[string]any{"SystemdCgroup": false, "NoNewKeyring": false, "NoPivotRoot": false}},
		"comments-only":            {"options": map[string]any{}},
	} {
		t.Run(from, func(t *testing.T) {
			for _, r := range asked {
				got := entry(t, "containerd", from, r.Name)
				want["runtime_type"], want["container_annotations"] = shim, annotations
				if want["pod_annotations"] == nil {
					want["pod_annotations"] = annotations
				}
				want["options"].(map[string]any)["BinaryName"] = r.Program
				for key, value := range want {
					if !reflect.DeepEqual(got[key], value) {
						t.Errorf("%s: %s is %v, want %v", r.Name, key, got[key], value)
					}
				}
			}
		})
	}
}

func TestWhereItGoes(t *testing.T) {
	for name, want := range map[string]string{
		"docker/nvidia": "daemon.json", "podman/drop-ins": "containers.conf.d/99-rtshield.conf", "crio/packages": "crio.conf.d/99-rtshield.conf",
		"containerd/kubeadm-v2": "config.toml", "containerd/conf.d-v2": "config.d/99-rtshield.toml", "containerd/conf.d-v3": "conf.d/99-rtshield.toml",
		"containerd/conf.d-with-nvidia-v2": "conf.d/99-rtshield.toml", "containerd/default-v4": "conf.d/99-rtshield.toml",
		"containerd/imports-a-file-v2": "runtimes.toml", // in version 2 the last file that speaks of the plugin is all that counts
	} {
		engine, _, _ := strings.Cut(name, "/")
		s := lay(t, engineOf(t, engine), "testdata/"+name)
		s.install(t, asked...)
		if got, _ := filepath.Rel(s.dir, s.edited(t)); got != want {
			t.Errorf("%s: the runtimes are in %s, want %s", name, got, want)
		}
	}
}

// containerd 1.x takes the whole of a plugin's settings from the last file that has any (mergeConfig), so that a drop-in
// that does not repeat them loses SystemdCgroup, and the kubelet's pods with it.
func TestADropInOfVersion2RepeatsTheSettingsThatItHides(t *testing.T) {
	for from, last := range map[string]string{"conf.d-v2": "config.toml", "conf.d-with-nvidia-v2": "conf.d/99-nvidia.toml"} {
		s := lay(t, engineOf(t, "containerd"), "testdata/containerd/"+from)
		hidden := s.dir + "/" + last
		was := lookup(decode(t, hidden, s.files(t)[hidden]), "plugins", plugins[2])
		if err := os.Chmod(hidden, 0o600); err != nil { // there may be a registry's password in it
			t.Fatal(err)
		}
		s.install(t, append(asked, asked...)...)
		path := s.edited(t)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", from, info.Mode(), err)
		}
		all := decode(t, path, s.files(t)[path])
		if all["version"] != int64(2) {
			t.Errorf("%s: version %v", from, all["version"])
		}
		runtimes := lookup(all, "plugins", plugins[2], "containerd", "runtimes")
		if len(runtimes) != 2+len(lookup(was, "containerd", "runtimes")) {
			t.Errorf("%s: the runtimes are %v", from, runtimes)
		}
		for _, r := range asked {
			delete(runtimes, r.Name)
		}
		if now := lookup(all, "plugins", plugins[2]); !reflect.DeepEqual(now, was) {
			t.Errorf("%s: it says\n%v\nand hides\n%v", from, now, was)
		}
		// And when the others change, the next install follows.
		s.put(t, hidden, strings.ReplaceAll(s.files(t)[hidden], "SystemdCgroup = true", "SystemdCgroup = false"))
		if plan := s.install(t, asked...); plan.Nothing() {
			t.Errorf("%s: install does not see that what it repeats has changed", from)
		}
		if text := s.files(t)[path]; strings.Contains(text, "SystemdCgroup = true") {
			t.Errorf("%s: it is still\n%s", from, text)
		}
	}
}

// containerd 1.x has runc built in, and forgets it when the file names any other runtime (seen with 1.6.20).
func TestRuncIsNamedWhereContainerd1WouldForgetIt(t *testing.T) {
	for from, want := range map[string]bool{"debian-v2": true, "comments-only": true, "kubeadm-v2": false, "kubeadm-v3": false, "default-v4": false} {
		s := lay(t, engineOf(t, "containerd"), "testdata/containerd/"+from)
		s.install(t, asked...)
		path := s.edited(t)
		begin, end, _ := findBlock(s.files(t)[path])
		if got := strings.Contains(s.files(t)[path][begin:end], "runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2'\n"); got != want {
			t.Errorf("%s: runc is named: %v", from, got)
		}
	}
}

func TestACRIORuntimeHasWhatTheDefaultOneHas(t *testing.T) {
	for from, want := range map[string]map[string]any{
		// A name in allowed_annotations that CRI-O does not know would make it drop the runtime.
		"packages":  {"runtime_root": "/run/crun", "monitor_path": "/usr/libexec/crio/conmon", "allowed_annotations": []any{"io.containers.trace-syscall"}},
		"main-file": {"runtime_root": "/run/runc", "default_annotations": map[string]any{"example.com/a": "b"}},
	} {
		for _, r := range asked {
			want["runtime_type"], want["runtime_path"] = "oci", r.Program
			if got := entry(t, "crio", from, r.Name); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is\n%v\nwant\n%v", from, r.Name, got, want)
			}
		}
	}
}

func TestDockersFileIsWrittenAsTheRestOfIt(t *testing.T) {
	for from, want := range map[string]string{
		"tabs":         "\t\"storage-driver\": \"overlay2\",\n\t\"runtimes\": {\n\t\t\"rtshield\": {\n\t\t\t\"path\": \"/usr/local/bin/rtshield\"\n\t\t},\n\t\t\"rtshield-fifo\": {\n",
		"nvidia":       "            \"path\": \"nvidia-container-runtime\"\n        },\n        \"rtshield\": {\n            \"path\": \"/usr/local/bin/rtshield\"\n        },\n",
		"one-line":     `"10.0.0.1:5000"],"runtimes":{"rtshield":{"path":"/usr/local/bin/rtshield"},"rtshield-fifo":{"path":"/usr/local/bin/rtshield-fifo"}}}`,
		"crlf":         "  \"experimental\": false,\r\n  \"runtimes\": {\r\n    \"rtshield\": {\r\n      \"path\": \"/usr/local/bin/rtshield\"\r\n    },\r\n",
		"empty-object": "{\n    \"runtimes\": {\n        \"rtshield\": {\n            \"path\": \"/usr/local/bin/rtshield\"\n        },\n",
		"bom":          "\ufeff{\n  \"builder\": ",
	} {
		s := lay(t, engineOf(t, "docker"), "testdata/docker/"+from)
		s.install(t, asked...)
		if text := s.files(t)[s.config]; !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%q", from, want, text)
		}
	}
}

func TestWhatCannotBeDoneIsSaidInOneLineAndNothingIsChanged(t *testing.T) {
	v2 := "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes."
	for _, c := range []struct{ engine, text, want string }{
		{"docker", "{\n  // fast\n  \"debug\": true\n}", "daemon.json:2: not JSON, and dockerd would not start with it"},
		{"docker", "{\n  \"debug\": true,\n}", "daemon.json:3: not JSON"},
		{"docker", "{\"debug\": true}}", "daemon.json:1: not JSON"},
		{"docker", "[]", "is not a JSON object"},
		{"docker", "null", "is null, in which nothing can be written: write {} instead"},
		{"docker", `{"runtimes": []}`, `"runtimes" is not an object`},
		{"docker", `{"runtimes": {}, "runtimes": {"x": {"path": "/x"}}}`, `has "runtimes" 2 times`},
		{"docker", `{"runtimes": {"rtshield": {"path": "/opt/other"}}}`, "the name rtshield is taken: DIR/daemon.json has it for /opt/other; choose another with --name"},
		{"docker", `{"runtimes": {"rtshield-fifo": {"runtimeType": "io.containerd.kata.v2"}}}`, "the name rtshield-fifo is taken"},
		{"containerd", "version = 2\n[plugins\n", "config.toml:2: "},
		{"containerd", "version = 2\nversion = 2\n", "config.toml:2: "},
		{"containerd", v2 + "rtshield]\nruntime_type = 'x'\n", "the name rtshield is taken: DIR/config.toml has it for another runtime"},
		{"containerd", v2 + "rtshield.options]\nBinaryName = '/opt/other'\n", "has it for /opt/other"},
		{"containerd", "# Docker's own\ndisabled_plugins = [\"cri\"]\n", `has "cri" in disabled_plugins`},
		{"containerd", "version = 3\ndisabled_plugins = ['io.containerd.cri.v1.runtime']\n", "in disabled_plugins"},
		{"containerd", "root = '/x'\n", "has version 1 of the format, known are 2 to 4: `containerd config migrate`"},
		{"containerd", "version = 5\n", "has version 5 of the format"},
		{"containerd", "version = '2'\n", `version is "2", and has to be a number`},
		{"containerd", "version = 2\nimports = ['/no/such/file.toml']\n", "/no/such/file.toml is imported, and is not there"},
		{"containerd", "version = 2\nplugins = {'io.containerd.grpc.v1.cri' = {}}\n", "written inline"},
		{"containerd", "# File generated by k3s. DO NOT EDIT. Use config.toml.tmpl instead.\nversion = 2\n", "name the file that it is made from with --config"},
		{"containerd", "# k0s_managed=true\nversion = 3\n", "k0s_managed=true"},
		{"crio", "[crio.runtime.runtimes.rtshield]\nruntime_path = '/opt/other'\n", "the name rtshield is taken: DIR/crio.conf has it for /opt/other"},
		{"crio", "[crio\n", "crio.conf:1: "},
		{"podman", "[engine.runtimes]\nrtshield = ['/opt/other']\n", "has it for /opt/other"},
		{"podman", "[engine]\nruntimes = 'x\n", "containers.conf:2: "},
	} {
		s := site{engine: engineOf(t, c.engine), dir: t.TempDir()}
		s.config = filepath.Join(s.dir, filepath.Base(s.engine.Config))
		s.put(t, s.config, c.text)
		_, err := s.engine.Install(s.config, asked)
		if want := strings.ReplaceAll(c.want, "DIR", s.dir); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %q:\n%v\nwant …%s…", c.engine, c.text, err, want)
		}
		same(t, c.text, s.files(t), map[string]string{s.config: c.text})
	}
}

func TestAnEntryThatSomebodyHasMadeByHandIsTheirs(t *testing.T) {
	for engine, text := range map[string]string{
		"docker":     `{"runtimes": {"rtshield": {"path": "/usr/local/bin/rtshield", "runtimeArgs": ["--debug"]}}}`,
		"containerd": "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.rtshield.options]\nBinaryName = '/usr/local/bin/rtshield'\n",
		"crio":       "[crio.runtime.runtimes.rtshield]\nruntime_path = '/usr/local/bin/rtshield'\n",
		"podman":     "[engine.runtimes]\nrtshield = ['/usr/local/bin/rtshield']\n",
	} {
		s := site{engine: engineOf(t, engine), dir: t.TempDir()}
		s.config = filepath.Join(s.dir, filepath.Base(s.engine.Config))
		s.put(t, s.config, text)
		before := s.files(t)
		if plan := s.install(t, asked[0]); !plan.Nothing() || plan.Known() {
			t.Errorf("%s: %q", engine, plan.Steps())
		}
		s.uninstall(t)
		same(t, engine, s.files(t), before)
		s.install(t, asked...) // the other one is ours
		s.uninstall(t)
		same(t, engine, s.files(t), before)
	}
}

func TestWhatSomebodyPutInOurPlaceStays(t *testing.T) {
	s := lay(t, engineOf(t, "docker"), "testdata/docker/nvidia")
	s.install(t, asked...)
	text := strings.Replace(s.files(t)[s.config], `"path": "/usr/local/bin/rtshield"`, `"path": "/opt/mine"`, 1)
	s.put(t, s.config, text)
	if _, err := s.engine.Install(s.config, asked); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("install over it: %v", err)
	}
	s.uninstall(t)
	if now := s.files(t)[s.config]; !strings.Contains(now, "/opt/mine") || strings.Contains(now, "rtshield-fifo") {
		t.Errorf("left is\n%s", now)
	}
}

func TestAProgramThatWritesTheFileAnewWithoutOurLinesIsNamed(t *testing.T) {
	s := lay(t, engineOf(t, "containerd"), "testdata/containerd/kubeadm-v2")
	s.install(t, asked...)
	text := strings.ReplaceAll(s.files(t)[s.config], "# rtshield", "# ")
	s.put(t, s.config, text)
	_, err := s.engine.Uninstall(s.config)
	if err == nil || !strings.Contains(err.Error(), "take rtshield, rtshield-fifo out by hand") || strings.Contains(err.Error(), "\n") {
		t.Errorf("uninstall says %v", err)
	}
	if s.files(t)[s.config] != text {
		t.Error("it was changed")
	}
}

func TestUninstallNeedsNothingButItsOwnPart(t *testing.T) {
	for name, text := range map[string]string{
		"containerd/kubeadm-v2": "version = 1\ndisabled_plugins = [\"cri\"]\nimports = [\"/no/such/file\"]\n",
		"containerd/kubeadm-v3": "version = 9\n",
	} {
		s := lay(t, engineOf(t, "containerd"), "testdata/"+name)
		s.install(t, asked...)
		begin, end, _ := findBlock(s.files(t)[s.config])
		s.put(t, s.config, text+s.files(t)[s.config][begin:end])
		s.uninstall(t)
		if now := s.files(t)[s.config]; now != strings.TrimSuffix(text, "\n") {
			t.Errorf("%s: left is %q", name, now)
		}
	}
}

func TestALinkStaysALinkAndTheFileKeepsOwnerModeAndAttributes(t *testing.T) {
	s := lay(t, engineOf(t, "docker"), "testdata/docker/nvidia")
	real := filepath.Join(s.dir, "real.json")
	if err := os.Rename(s.config, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.json", s.config); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(real, 0o640); err != nil {
		t.Fatal(err)
	}
	gid := os.Getgid()
	if os.Geteuid() == 0 {
		gid = 4
		if err := os.Chown(real, 0, gid); err != nil {
			t.Fatal(err)
		}
	}
	attributes := unix.Setxattr(real, "user.note", []byte("kept"), 0) == nil // tmpfs before Linux 6.6 has none
	check := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			var stat unix.Stat_t
			if err := unix.Lstat(path, &stat); err != nil {
				t.Fatal(err)
			}
			if stat.Mode != unix.S_IFREG|0o640 || int(stat.Gid) != gid {
				t.Errorf("%s: %s has mode %o and group %d", when, path, stat.Mode, stat.Gid)
			}
			value := make([]byte, 10)
			if n, err := unix.Getxattr(path, "user.note", value); attributes && (err != nil || string(value[:n]) != "kept") {
				t.Errorf("%s: %s has lost its attribute: %v", when, path, err)
			}
		}
		if target, err := os.Readlink(s.config); err != nil || target != "real.json" {
			t.Errorf("%s: the link leads to %q, %v", when, target, err)
		}
	}
	s.install(t, asked...)
	check("installed", real, s.config+".before-rtshield")
	s.uninstall(t)
	check("uninstalled", real)

	dangling := filepath.Join(s.dir, "dangling.json")
	if err := os.Symlink("/no/such/file", dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Install(dangling, asked); err == nil || !strings.Contains(err.Error(), "is a link to /no/such/file, which is not there") {
		t.Errorf("a link to nothing: %v", err)
	}
	if _, err := s.engine.Install(s.dir, asked); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

func TestTheBackupIsTheFileAsItWasWithoutUs(t *testing.T) {
	s := lay(t, engineOf(t, "docker"), "testdata/docker/tabs")
	was := s.files(t)[s.config]
	backup := s.config + ".before-rtshield"
	s.install(t, asked[0])
	if text := s.files(t)[backup]; text != was {
		t.Errorf("the backup is %q", text)
	}
	edited := strings.Replace(s.files(t)[s.config], "100m", "200m", 1)
	s.put(t, s.config, edited)
	s.install(t, asked...)
	if text := s.files(t)[backup]; text != strings.Replace(was, "100m", "200m", 1) {
		t.Errorf("after an edit and another install the backup is %q", text)
	}
	s.put(t, backup, "spoilt") // then it is not what goes back
	s.uninstall(t)
	if text := s.files(t)[s.config]; text != strings.Replace(was, "100m", "200m", 1) {
		t.Errorf("left is %q", text)
	}
}

func TestLinksAreMadeOnceAndGoWithTheLastEngine(t *testing.T) {
	bin := t.TempDir()
	program := filepath.Join(bin, "rtshield")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	runtimes, err := Runtimes("rt", program, []string{"fifo"})
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(bin, "rtshield-fifo")
	if want := (Runtime{"rt-fifo", link, "rtshield"}); len(runtimes) != 2 || runtimes[1] != want {
		t.Fatalf("%+v", runtimes)
	}
	s := lay(t, engineOf(t, "docker"), "testdata/docker/nvidia")
	s.install(t, runtimes...)
	if target, err := os.Readlink(link); err != nil || target != "rtshield" {
		t.Fatalf("the link leads to %q, %v", target, err)
	}
	if plan := s.install(t, runtimes...); !plan.Nothing() {
		t.Errorf("once more: %q", plan.Steps())
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if plan := s.install(t, runtimes...); len(plan.Steps()) != 1 {
		t.Errorf("without the link: %q", plan.Steps())
	}

	// Another engine that is on record with it keeps it, and takes it away in the end.
	other := lay(t, engineOf(t, "podman"), "nothing")
	saved := engines
	defer func() { engines = saved }()
	engines = slices.Clone(engines)
	engines[0].Config, engines[3].Config = s.config, other.config
	other.install(t, runtimes...)
	s.uninstall(t)
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("podman needs it: %v", err)
	}
	other.uninstall(t)
	if _, err := os.Lstat(link); err == nil {
		t.Error("nobody needs it any more")
	}
	if err := os.Symlink("rtshield", link); err != nil {
		t.Fatal(err)
	}

	// One that was there stays; what is something else is refused.
	s.install(t, runtimes...)
	s.uninstall(t)
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("it was there before: %v", err)
	}
	for want, make := range map[string]func() error{
		"is not rtshield: move it away":         func() error { return os.WriteFile(link, nil, 0o755) },
		"a link to something that is not there": func() error { return os.Symlink("/no/such/file", link) },
	} {
		_ = os.Remove(link)
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.engine.Install(s.config, runtimes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestAFileThatChangesUnderInstallIsLeftAlone(t *testing.T) {
	s := lay(t, engineOf(t, "docker"), "testdata/docker/nvidia")
	plan, err := s.engine.Install(s.config, asked)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, s.config, "{}")
	if err := plan.Apply(); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("got %v", err)
	}
	if text := s.files(t)[s.config]; text != "{}" {
		t.Errorf("it is %q", text)
	}
}

func TestNamesThatNoEngineTakesAreRefused(t *testing.T) {
	for _, name := range []string{"", "RT", "rt shield", "-x", "x-", "a.b", "a/b", strings.Repeat("x", 60), "runc", "crun"} {
		if _, err := Runtimes(name, testProgram, nil); err == nil || !strings.Contains(err.Error(), "--name "+name) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Runtimes("rt", testProgram, []string{"no good"}); err == nil {
		t.Error("a class with a blank in its name became part of a runtime's")
	}
}

func TestADiffNamesWhatIsNotThere(t *testing.T) {
	for _, c := range []struct {
		was, now file
		want     string
	}{
		{file{}, file{"a\n", true}, "--- /dev/null\n+++ f\n@@ -0,0 +1,1 @@\n+a\n"},
		{file{"a", true}, file{}, "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n\\ No newline at end of file\n"},
		{file{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", true}, file{"1\n2\n3\n4\nnew\n6\n7\n8\n9\n", true}, "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+new\n 6\n 7\n 8\n"},
		{file{"1\n2\n", true}, file{"1\n2\n3\n", true}, "--- f\n+++ f\n@@ -1,2 +1,3 @@\n 1\n 2\n+3\n"},
	} {
		if got := diff("f", c.was, c.now); got != c.want {
			t.Errorf("%+v → %+v:\n%s\nwant\n%s", c.was, c.now, got, c.want)
		}
	}
}
