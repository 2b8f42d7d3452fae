package manifests_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	node "k8s.io/api/node/v1"
	rbac "k8s.io/api/rbac/v1"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// helm renders the chart as `helm install rtshield -n rtshield-system` does.
func helm(t *testing.T, values map[string]any) []object {
	t.Helper()
	chart, err := loader.Load(deploy + "chart")
	if err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "rtshield", Namespace: "rtshield-system", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		t.Fatal(err)
	}
	var objects []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			objects = append(objects, decode(t, []byte(files[name]))...)
		}
	}
	return objects
}

// texts are objects by their names.
func texts(t *testing.T, objects []object) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, o := range objects {
		text, err := json.MarshalIndent(o, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[name(o)]; twice {
			t.Errorf("%s twice", name(o))
		}
		all[name(o)] = string(text)
	}
	return all
}

// flags of a DaemonSet's container.
func flags(t *testing.T, objects []object, set string) []string {
	t.Helper()
	return only[*apps.DaemonSet](t, objects, set).Spec.Template.Spec.Containers[0].Args
}

func TestTheChartGivesWhatTheOverlaysGive(t *testing.T) {
	for overlay, values := range map[string]map[string]any{
		"containerd": nil,
		"crio":       {"engine": "crio"},
		"k3s":        {"config": "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl", "units": []any{"k3s", "k3s-agent"}},
	} {
		want, got := texts(t, kustomize(t, overlay)), texts(t, helm(t, values))
		delete(want, "Namespace rtshield-system") // helm install --create-namespace
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s: the chart has for %s\n%s\nand the overlay\n%s", overlay, name, got[name], want[name])
			}
		}
		if len(got) != len(want) || len(want) < 13 {
			t.Errorf("%s: %d objects of the chart, %d of the overlay", overlay, len(got), len(want))
		}
	}
}

func TestTheChartsValuesReachTheObjects(t *testing.T) {
	objects := helm(t, map[string]any{
		"image": "registry.example/other:1", "engine": "", "labels": "nfd", "metrics": "/srv/textfiles", "classes": []any{"gold"}, "policy": "[layout]\nshield = \"2-3\"\n",
	})
	if got := flags(t, objects, "rtshield-node"); !slices.Equal(got, []string{"run", "--class=gold", "--labels=nfd", "--metrics=/srv/textfiles"}) {
		t.Errorf("%q", got)
	}
	if got := flags(t, objects, "rtshield-remove"); !slices.Equal(got, []string{"remove", "--labels=nfd", "--metrics=/srv/textfiles"}) {
		t.Errorf("%q", got)
	}
	if policy := only[*core.ConfigMap](t, objects, "rtshield-policy"); policy.Data["config.toml"] != "[layout]\nshield = \"2-3\"\n" {
		t.Errorf("%q", policy.Data)
	}
	for _, o := range objects {
		if _, role := o.(*rbac.ClusterRole); role {
			t.Error("a role that is not needed")
		}
	}
}

func TestEachOverlayTellsBothDaemonSetsTheSameEngine(t *testing.T) {
	for _, overlay := range overlays {
		objects := kustomize(t, overlay)
		run, remove := flags(t, objects, "rtshield-node"), flags(t, objects, "rtshield-remove")
		if !slices.Equal(run[:3], []string{"run", "--class=fifo", "--class=rr"}) || remove[0] != "remove" || !slices.Equal(run[3:], remove[1:]) || len(run) < 4 {
			t.Errorf("%s: %q, %q", overlay, run, remove)
		}
	}
}

func TestRuntimeClassesSelectNodesThatAreReady(t *testing.T) {
	objects := kustomize(t, "containerd")
	for _, name := range []string{"rtshield", "rtshield-fifo", "rtshield-rr"} {
		class := only[*node.RuntimeClass](t, objects, name)
		if class.Handler != name || class.Scheduling.NodeSelector["rtshield.io/ready"] != "true" {
			t.Errorf("%s: %+v", name, class)
		}
		if class.Overhead.PodFixed.Memory().IsZero() || !class.Overhead.PodFixed.Cpu().IsZero() {
			t.Errorf("%s: a pod that wants all CPUs of a node would not fit: %v", name, class.Overhead.PodFixed)
		}
	}
}

func TestTheInstallerHasNoRightThatItDoesNotNeed(t *testing.T) {
	objects := kustomize(t, "containerd")
	role := only[*rbac.ClusterRole](t, objects, "rtshield-node")
	if text, _ := json.Marshal(role.Rules); string(text) != `[{"verbs":["patch"],"apiGroups":[""],"resources":["nodes"]}]` {
		t.Errorf("%s", text)
	}
	for _, set := range []string{"rtshield-node", "rtshield-remove"} {
		pod := only[*apps.DaemonSet](t, objects, set).Spec.Template.Spec
		security := pod.Containers[0].SecurityContext
		if security.Privileged != nil || *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || pod.HostNetwork || pod.HostIPC {
			t.Errorf("%s: %+v", set, security)
		}
		if !slices.Equal(security.Capabilities.Drop, []core.Capability{"ALL"}) || !slices.Equal(security.Capabilities.Add, []core.Capability{"SYS_CHROOT", "CHOWN", "DAC_OVERRIDE", "FOWNER"}) {
			t.Errorf("%s: %+v", set, security.Capabilities)
		}
	}
}

// A node has one of the two DaemonSets, or none.
func TestANodeIsEquippedOrCleanedNeverBoth(t *testing.T) {
	objects := kustomize(t, "containerd")
	run := only[*apps.DaemonSet](t, objects, "rtshield-node").Spec.Template.Spec
	remove := only[*apps.DaemonSet](t, objects, "rtshield-remove").Spec.Template.Spec
	terms := remove.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 || len(terms[0].MatchExpressions) != 2 || run.NodeSelector["rtshield.io/node"] != "enabled" {
		t.Fatalf("%+v, %+v", terms, run.NodeSelector)
	}
	for _, expression := range terms[0].MatchExpressions {
		switch expression.Key {
		case "rtshield.io/node":
			if expression.Operator != core.NodeSelectorOpNotIn || !slices.Equal(expression.Values, []string{"enabled"}) {
				t.Errorf("%+v", expression)
			}
		case "rtshield.io/ready":
			if expression.Operator != core.NodeSelectorOpExists {
				t.Errorf("%+v", expression)
			}
		default:
			t.Errorf("%+v", expression)
		}
	}
}
