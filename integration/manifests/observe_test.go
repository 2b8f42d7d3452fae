package manifests_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// prometheusRule is the Prometheus Operator's: below spec it has what Prometheus reads.
type prometheusRule struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            json.RawMessage `json:"spec"`
}

func (p *prometheusRule) DeepCopyObject() runtime.Object {
	made := *p
	p.DeepCopyInto(&made.ObjectMeta)
	made.Spec = slices.Clone(p.Spec)
	return &made
}

// watched renders an overlay with the component, as one who wants both would have it.
func watched(t *testing.T, overlay string) []object {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(deploy)
	if err != nil {
		t.Fatal(err)
	}
	above, err := filepath.Rel(dir, root)
	if err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + above + "/overlays/" + overlay + "]\ncomponents: [" + above + "/observe]\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, resources)
}

func TestRulesAndDashboardReachTheCluster(t *testing.T) {
	var want any
	if err := yaml.Unmarshal(read(t, observe+"rules.yaml"), &want); err != nil {
		t.Fatal(err)
	}
	for from, objects := range map[string][]object{
		"component": watched(t, "containerd"),
		"chart":     helm(t, map[string]any{"observe": map[string]any{"rules": true, "dashboard": true}}),
	} {
		rule := only[*prometheusRule](t, objects, "rtshield")
		var got any
		if err := json.Unmarshal(rule.Spec, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v: its rules are not those of rules.yaml:\n%s", from, err, rule.Spec)
		}
		shown := only[*core.ConfigMap](t, objects, "rtshield-dashboard")
		if shown.Labels["grafana_dashboard"] != "1" || shown.Data["rtshield.json"] != string(read(t, observe+"dashboard.json")) {
			t.Errorf("%s: Grafana's sidecar would not find the dashboard, or another: %v", from, shown.Labels)
		}
		if rule.Namespace != "rtshield-system" || shown.Namespace != "rtshield-system" {
			t.Errorf("%s: %s, %s", from, rule.Namespace, shown.Namespace)
		}
	}
	labelled := helm(t, map[string]any{"observe": map[string]any{"rules": true, "ruleLabels": map[string]any{"release": "prometheus"}}})
	if rule := only[*prometheusRule](t, labelled, "rtshield"); rule.Labels["release"] != "prometheus" {
		t.Errorf("%v", rule.Labels)
	}
}

// Neither helm nor kustomize reads files outside of its own directory.
func TestTheChartHasTheSameFiles(t *testing.T) {
	for _, name := range []string{"rules.yaml", "dashboard.json"} {
		if !bytes.Equal(read(t, observe+name), read(t, deploy+"chart/files/"+name)) {
			t.Errorf("cp deploy/observe/%s deploy/chart/files/", name)
		}
	}
}

func TestWhoDoesNotAskGetsNothingOfThePrometheusOperators(t *testing.T) {
	for _, objects := range [][]object{kustomize(t, "containerd"), helm(t, nil)} {
		for _, o := range objects {
			if _, is := o.(*prometheusRule); is {
				t.Error("a cluster without the operator would refuse all")
			}
		}
	}
}
