package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// admin runs one of the administrator's commands.
func admin(words ...string) (string, error) {
	var out bytes.Buffer
	app := administrator()
	app.Writer = &out
	err := app.Run(append([]string{"rtshield"}, words...))
	return out.String(), err
}

// builtin is the policy of a host without a file.
func builtin(t *testing.T) {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(policy, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(policy), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RTSHIELD_CONFIG", policy)
}

func TestInstallSaysWhatItDoes(t *testing.T) {
	builtin(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "daemon.json")
	before := "{\n  \"debug\": true\n}\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		want  []string
		left  string // in the file
	}{
		{[]string{"install", "docker", "--dry-run"}, []string{"--- " + file, "+    \"rt\": {", "would edit " + file}, before},
		{[]string{"install", "docker"}, []string{"edit " + file + " (as it was: " + file + ".before-rtshield)", "docker knows rt after a restart of the service that reads " + file}, `"rt": {`},
		{[]string{"install", "docker"}, []string{"nothing to do: " + file + " has rt"}, `"rt": {`},
		{[]string{"uninstall", "docker", "--dry-run"}, []string{"-    \"rt\": {", "would edit " + file}, `"rt": {`},
		{[]string{"uninstall", "docker"}, []string{"edit " + file, "docker has forgotten it", "keeps the names until its next start"}, before},
		{[]string{"uninstall", "docker"}, []string{"nothing to do: install has put nothing into " + file}, before},
	} {
		words := append(c.words, "--config", file)
		if words[0] == "install" {
			words = append(words, "--name", "rt")
		}
		out, err := admin(words...)
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not say %q:\n%s", words, want, out)
			}
		}
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), c.left) {
			t.Errorf("%q leaves\n%s", words, text)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left are %v", entries)
	}
}

func TestAMistakeWithInstallIsOneLine(t *testing.T) {
	builtin(t)
	file := filepath.Join(t.TempDir(), "daemon.json")
	for _, c := range []struct{ words, want string }{
		{"install", "install what? docker, containerd, crio or podman"},
		{"install lxc", `no engine is called "lxc": docker, containerd, crio or podman`},
		{"uninstall lxc", `no engine is called "lxc"`},
		{"install docker now", `takes no argument, got "now"`},
		{"install docker --class gold --config " + file, "--class gold: the policy has batch, deadline, fifo, rr"},
		{"install docker --name A --config " + file, "--name A: expected lower case letters"},
		{"install docker --restart --config " + file, "--restart is for the service docker, which reads /etc/docker/daemon.json"},
		{"install docker --nonsense", "-nonsense: rtshield install docker --help"},
		{"install --dry-run docker", "flags stand behind the engine's name"},
	} {
		out, err := admin(strings.Fields(c.words)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || out != "" {
			t.Errorf("%s: %v, %q", c.words, err, out)
		}
	}
	if _, err := os.Stat(filepath.Dir(file) + "/daemon.json"); err == nil {
		t.Error("a file was made")
	}
}
