package admission_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

const merge = "application/merge-patch+json"

// installerOn gives the token that the installer's pod on a node has.
func installerOn(t *testing.T, node string) string {
	t.Helper()
	const space = "/api/v1/namespaces/rtshield-system"
	must(t, http.MethodPost, "/api/v1/nodes", asYAML, object{"apiVersion": "v1", "kind": "Node", "metadata": object{
		"name": node, "labels": object{"rtshield.io/node": "enabled", "zone": "a", "rtshield.io/ready": "false"}}})
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "installer-" + node}, "spec": object{
		"nodeName": node, "serviceAccountName": "rtshield-node", "containers": []object{{"name": "node", "image": "localhost/x"}}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := api.Make(space+"/pods", string(text))
	if err != nil {
		t.Fatal(err)
	}
	var pod struct{ Metadata struct{ UID string } }
	if err := json.Unmarshal(answer, &pod); err != nil {
		t.Fatal(err)
	}
	answer, err = api.Make(space+"/serviceaccounts/rtshield-node/token", fmt.Sprintf(
		"{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {boundObjectRef: {apiVersion: v1, kind: Pod, name: installer-%s, uid: %s}}}", node, pod.Metadata.UID))
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Status struct{ Token string } }
	if err := json.Unmarshal(answer, &made); err != nil || made.Status.Token == "" {
		t.Fatalf("%v: %s", err, answer)
	}
	return made.Status.Token
}

func labels(of object) object { return object{"metadata": object{"labels": of}} }

func TestTheInstallersTokenIsGoodForTheLabelsOfItsOwnNodeAlone(t *testing.T) {
	token := installerOn(t, "n1")
	installerOn(t, "n2")
	testhost.Eventually(t, 30*time.Second, func() error { // the API server compiles a policy a little after it has been told
		if refused(t, token, http.MethodPatch, "/api/v1/nodes/n1?dryRun=All", merge, labels(object{"zone": "b"})) == "" {
			return fmt.Errorf("rtshield-own-node lets everything pass")
		}
		return nil
	})
	for _, c := range []struct {
		what, method, path string
		body               object
		refused            string
	}{
		{"its own labels", http.MethodPatch, "nodes/n1", labels(object{"rtshield.io/ready": "true", "rtshield.io/free-cpus": "3"}), ""},
		{"they go", http.MethodPatch, "nodes/n1", labels(object{"rtshield.io/ready": nil}), ""},
		{"another's node", http.MethodPatch, "nodes/n2", labels(object{"rtshield.io/ready": "true"}), "its own node only"},
		{"a foreign label", http.MethodPatch, "nodes/n1", labels(object{"zone": "b"}), "labels rtshield.io/* only"},
		{"a foreign label goes", http.MethodPatch, "nodes/n1", labels(object{"zone": nil}), "labels rtshield.io/* only"},
		{"the administrator's", http.MethodPatch, "nodes/n1", labels(object{"rtshield.io/node": nil}), "the administrator's"},
		{"a taint", http.MethodPatch, "nodes/n1", object{"spec": object{"taints": []object{{"key": "a", "effect": "NoSchedule"}}}}, "nothing of a node but labels"},
		{"an annotation", http.MethodPatch, "nodes/n1", object{"metadata": object{"annotations": object{"a": "b"}}}, "nothing of a node but labels"},
		{"its status", http.MethodPatch, "nodes/n1/status", object{"status": object{"phase": "Running"}}, `cannot patch resource "nodes/status"`},
		{"to read nodes", http.MethodGet, "nodes", nil, `cannot list resource "nodes"`},
		{"to read pods", http.MethodGet, "namespaces/rtshield-system/pods", nil, `cannot list resource "pods"`},
		{"to remove a node", http.MethodDelete, "nodes/n1", nil, `cannot delete resource "nodes"`},
	} {
		expect(t, c.what, refused(t, token, c.method, "/api/v1/"+c.path, merge, c.body), c.refused)
	}
	if said := refused(t, "", http.MethodPatch, "/api/v1/nodes/n1", merge, labels(object{"zone": "b"})); said != "" {
		t.Errorf("the administrator is refused: %s", said)
	}
}

func TestNoRuntimeClassHidesAHandlerOfOursFromTheAPIServer(t *testing.T) {
	judged(t)
	for _, c := range []struct{ name, handler, refused string }{
		{"kata", "kata", ""},
		{"rtshield-mine", "rtshield-mine", ""},
		{"fast", "rtshield-fifo", "RuntimeClass fast has handler rtshield-fifo: give it the name of its handler"},
		{"slow", "rtshield", "RuntimeClass slow has handler rtshield: give it"},
	} {
		expect(t, c.name, refused(t, "", http.MethodPost, "/apis/node.k8s.io/v1/runtimeclasses?dryRun=All", asYAML, runtimeClass(c.name, c.handler)), c.refused)
	}
}
