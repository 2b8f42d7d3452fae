package node

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"
)

func TestLabelsSayWhatTheNodeCanDo(t *testing.T) {
	cpus := "sys/devices/system/cpu/"
	for name, c := range map[string]struct {
		files  map[string]string
		status string
		want   Labels
	}{
		"cgroup v2, Linux 6.7, PREEMPT_RT": {
			map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset cpu", "sys/fs/cgroup/cpuset.cpus.isolated": "", "proc/version": "Linux version 6.12 #1 SMP PREEMPT_RT Debian"},
			`{"layout": {"pool": "1-3"}, "free": "2"}`,
			Labels{Ready: "true", Level: "partition", PreemptRT: "true", ShieldCPUs: "3", FreeCPUs: "1"},
		},
		"the policy allows less": {
			map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset", "sys/fs/cgroup/cpuset.cpus.isolated": "", "proc/version": "Linux version 6.12 #1 SMP PREEMPT_DYNAMIC"},
			`{"layout": {"pool": "1-3", "level": "affinity"}, "free": "1-3"}`,
			Labels{Ready: "true", Level: "affinity", PreemptRT: "false", ShieldCPUs: "3", FreeCPUs: "3"},
		},
		"isolcpus": {
			map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset", "sys/fs/cgroup/cpuset.cpus.isolated": "", cpus + "isolated": "2-3"},
			`{"layout": {"pool": "2-3"}, "free": "2-3"}`,
			Labels{Ready: "true", Level: "cpuset", PreemptRT: "false", ShieldCPUs: "2", FreeCPUs: "2"},
		},
		"cgroup v1": {
			map[string]string{"sys/fs/cgroup/cpuset/cpuset.cpus": "0-3"},
			`{"layout": {"pool": "1-3"}, "free": ""}`,
			Labels{Ready: "true", Level: "cpuset", PreemptRT: "false", ShieldCPUs: "3", FreeCPUs: "0"},
		},
		"no cpuset controller": {
			nil, `{"layout": {"pool": ""}, "free": ""}`,
			Labels{Ready: "true", Level: "affinity", PreemptRT: "false", ShieldCPUs: "0", FreeCPUs: "0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "containerd", "/etc/containerd/config.toml")
			for path, text := range map[string]string{cpus + "online": "0-3", cpus + "possible": "0-3", cpus + "present": "0-3", cpus + "isolated": ""} {
				s.put(s.path(path), text+"\n")
			}
			for path, text := range c.files {
				s.put(s.path(path), text+"\n")
			}
			s.Run = func(_ context.Context, argv ...string) (string, error) { return c.status, nil }
			got, err := s.Labels(context.Background())
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v, %v", got, c.want, err)
			}
		})
	}
}

func TestNodeFeatureDiscoveryIsToldByAFile(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	if s.HasFeatureDiscovery() {
		t.Error("it is not there")
	}
	if err := os.MkdirAll(s.path(featureDir), 0o755); err != nil {
		t.Fatal(err)
	}
	before := tree(t, s.Root)
	if !s.HasFeatureDiscovery() {
		t.Error("it is there")
	}
	if err := s.WriteFeatures(Labels{Ready: "true", Level: "cpuset", FreeCPUs: ""}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path(featureDir + "/rtshield"))
	if err != nil || string(text) != "rtshield.io/level=cpuset\nrtshield.io/ready=true\n" {
		t.Errorf("%q, %v", text, err)
	}
	for range 2 {
		if err := s.WriteFeatures(NoLabels()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "without labels", tree(t, s.Root), before)
}

func TestEveryLabelIsTakenAway(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	s.must(s.Install)
	labels, err := s.Labels(context.Background())
	if err != nil && !strings.Contains(err.Error(), "topology") {
		t.Fatal(err)
	}
	none := NoLabels()
	for name := range labels {
		if value, known := none[name]; !known || value != "" {
			t.Errorf("%s stays", name)
		}
	}
}
