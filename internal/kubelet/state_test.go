package kubelet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

func set(t *testing.T, list string) cpuset.CPUSet {
	t.Helper()
	parsed, err := cpuset.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// As kubelets write them. The fourth version, of Kubernetes 1.37, says all twice.
const (
	version1 = `{"policyName":"static","defaultCpuSet":"0,4-7","entries":{"622b0903":"1","0c05c053":"2-3"},"checksum":3242152201}`
	version2 = `{"policyName":"static","defaultCpuSet":"0,4-7","entries":{"8f":{"app":"1","setup":"1-2"},"9a":{"db":"2-3"}},"checksum":1353318690}`
	version3 = `{"policyName":"static","defaultCpuSet":"0","entries":{"8f":{"app":"1","log":"2-3","proxy":"2-3"},"9a":{"db":"4"}},"podEntries":{"8f":{"cpuSet":"1-3"}},"checksum":7}`
	version4 = `{"policyName":"static","defaultCpuSet":"0,2-7","entries":{"8f":{"app":"1"}},"checksum":0,"data":"{\"policyName\":\"static\"}","dataChecksum":9}`
	manual   = `{"policyName":"none","defaultCpuSet":"","checksum":1353318690}`
)

func TestTheStateTellsWhoHasWhich(t *testing.T) {
	for name, c := range map[string]struct {
		text, pod, container string
		manager, own, others string
		beside               bool
	}{
		"its own":                           {version2, "8f", "app", "static", "1", "2-3", true},
		"another's pod":                     {version2, "9a", "db", "static", "2-3", "1-2", false},
		"a sidecar":                         {version2, "8f", "log", "static", "", "2-3", true},
		"an unknown pod":                    {version2, "7c", "app", "static", "", "1-3", false},
		"the pod's, and its own in it":      {version3, "8f", "app", "static", "1", "4", false},
		"the pod's, shared in it":           {version3, "8f", "log", "static", "", "4", true},
		"beside a pod with a set":           {version3, "9a", "db", "static", "4", "1-3", false},
		"version 4":                         {version4, "8f", "app", "static", "1", "", false},
		"none":                              {manual, "8f", "app", "none", "", "", false},
		"version 1 names no pods":           {version1, "8f", "app", "", "", "", false},
		"of no pod, only what others have":  {version2, "", "", "static", "", "1-3", false},
		"of no pod, with a pod that shares": {version3, "", "", "static", "", "1-4", false},
	} {
		state, err := ParseState([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := state.Of(c.pod, c.container)
		if got.Manager != c.manager || got.Own.String() != c.own || got.Others.String() != c.others || got.Beside != c.beside {
			t.Errorf("%s: manager %q, own %s, others %s, beside %v", name, got.Manager, got.Own, got.Others, got.Beside)
		}
	}
	state, err := ParseState([]byte(version1))
	if err != nil || state.All().String() != "1-3" {
		t.Errorf("version 1: %v, %v", state, err)
	}
}

func TestAStateThatCannotBeReadIsNoState(t *testing.T) {
	for text, want := range map[string]string{
		"": "is not what a kubelet writes", "[]": "is not what", "{}": "names no policy", `{"policyName":"static","defaultCpuSet":"x"}`: "defaultCpuSet",
		`{"policyName":"static","defaultCpuSet":"0","entries":{"8f":7}}`:                 "entries of pod 8f",
		`{"policyName":"static","defaultCpuSet":"0","entries":{"8f":{"app":"1-"}}}`:      "app of pod 8f",
		`{"policyName":"static","defaultCpuSet":"0-4294967295"}`:                         "not a list of CPUs",
		`{"policyName":"static","defaultCpuSet":"0","podEntries":{"8f":{"cpuSet":"?"}}}`: "podEntries of 8f",
		`{"policyName":"static","defaultCpuSet":"0","podEntries":{"":{"cpuSet":"1"}}}`:   "an entry names no pod",
		`{"policyName":"static","defaultCpuSet":"0","entries":{"":{"app":"1"}}}`:         "an entry names no pod",
	} {
		if state, err := ParseState([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || state != nil {
			t.Errorf("%s: %v, %v", text, state, err)
		}
	}
}

func TestTheStateIsReadBelowTheKubeletsDirectory(t *testing.T) {
	root := host.Root(t.TempDir())
	if state, err := LoadState(root, shield.DefaultKubelet); state != nil || err != nil {
		t.Errorf("no kubelet: %v, %v", state, err)
	}
	file := root.Path(shield.DefaultKubelet, StateFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string, mode os.FileMode) {
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(version2, 0o600)
	if state, err := LoadState(root, shield.DefaultKubelet); err != nil || state.Policy != shield.StaticManager {
		t.Errorf("%+v, %v", state, err)
	}
	if state, err := LoadState(root, "/var/snap/kubelet"); state != nil || err != nil {
		t.Errorf("elsewhere: %v, %v", state, err)
	}
	write(version2, 0o666)
	if _, err := LoadState(root, shield.DefaultKubelet); err == nil || !strings.Contains(err.Error(), "others could change it") {
		t.Errorf("writable by all: %v", err)
	}
	write("{", 0o600)
	if _, err := LoadState(root, shield.DefaultKubelet); err == nil || !strings.Contains(err.Error(), "/var/lib/kubelet/cpu_manager_state is not what a kubelet writes") {
		t.Errorf("half of one: %v", err)
	}
}

func FuzzState(f *testing.F) {
	for _, text := range []string{version1, version2, version3, version4, manual, "{}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := ParseState(data)
		if err != nil {
			return
		}
		for owner, cpus := range state.Given {
			if owner.Pod == "" {
				continue
			}
			of := state.Of(owner.Pod, owner.Container)
			if !of.Own.IsEmpty() && !of.Own.Equals(cpus) || !of.Own.IsSubsetOf(state.All()) || !of.Others.IsSubsetOf(state.All()) {
				t.Errorf("%s: %+v of %q", owner, of, data)
			}
		}
	})
}
