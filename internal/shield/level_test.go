package shield

import (
	"strings"
	"testing"

	"k8s.io/utils/cpuset"
)

func TestTheLevelIsTheStrongestThatEverybodyAllows(t *testing.T) {
	remote := Host{Level: LevelPartition, Cpusets: true}
	local := Host{Level: LevelPartition, Cpusets: true, Local: true}
	v1 := Host{Level: LevelCpuset, Weaker: "a partition takes cgroup v2 and Linux 6.7", Cpusets: true}
	none := Host{Level: LevelAffinity, Weaker: "this host has no cpuset cgroup controller"}
	for _, c := range []struct {
		name    string
		host    Host
		layout  string
		require string
		request Request
		want    string
	}{
		{"remote partition", remote, "", "", asks("a", "smt", "prefer"), "partition isolated"},
		{"remote partition of several", remote, "auto", "partition", asks("a", "smt", "prefer", "cpus", "2"), "partition root"},
		{"not wanted", remote, "", "", asks("a", "partition", "none"), "cpuset "},
		{"not wanted, but required", remote, "", "partition", asks("a", "partition", "none"),
			"class fifo requires level partition, and only cpuset can be had; partition none was asked for"},
		{"capped", remote, "affinity", "", asks("a"), "affinity "},
		{"capped, but required", remote, "affinity", "cpuset", asks("a"), "only affinity can be had; [layout] level allows no more"},
		{"a cap above what there is", v1, "partition", "", asks("a"), "cpuset "},
		{"v1", v1, "", "cpuset", asks("a"), "cpuset "},
		{"v1, but required", v1, "", "partition", asks("a"), "only cpuset can be had; a partition takes cgroup v2 and Linux 6.7"},
		{"by name", v1, "", "", asks("a", "partition", "root"), "asks for a partition of type root; a partition takes cgroup v2"},
		{"no cpusets", none, "", "", asks("a"), "affinity  pinned"},
		{"no cpusets, but required", none, "", "cpuset", asks("a"), "only affinity can be had; this host has no cpuset"},
		{"local at the root", local, "", "", below("/a", asks("a", "smt", "prefer")), "partition isolated local"},
		{"local, deeper", local, "", "", below("/docker/a", asks("a", "smt", "prefer")), "cpuset "},
		{"local with an idle sibling", local, "", "", below("/a", asks("a")), "cpuset "},
	} {
		t.Run(c.name, func(t *testing.T) {
			topo := twoNodes(t)
			c.host.Topology = topo
			layout := layoutOf(t, topo, "auto")
			layout.Level = c.layout
			classes := BuiltinClasses()
			class := classes["fifo"]
			class.RequireLevel = c.require
			classes["fifo"] = class
			grant, err := Decide(classes, layout, c.host, &Ledger{}, c.request)
			got := grant.Level + " " + grant.Partition
			if grant.Pinned {
				got += " pinned"
			}
			if grant.Local {
				got += " local"
			}
			if err != nil {
				got = err.Error()
			}
			if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCPUsOfIsolcpusAreInNoPartition(t *testing.T) {
	topo := twoNodes(t)
	topo.Isolated = cpuset.New(4, 5)
	host := Host{Topology: topo, Level: LevelPartition, Cpusets: true}
	grant, err := Decide(BuiltinClasses(), layoutOf(t, topo, "4-5"), host, &Ledger{}, asks("a", "smt", "prefer"))
	if err != nil || grant.Level != LevelCpuset {
		t.Errorf("level %q, %v", grant.Level, err)
	}
}

func below(cgroup string, request Request) Request {
	request.Cgroup = cgroup
	return request
}
