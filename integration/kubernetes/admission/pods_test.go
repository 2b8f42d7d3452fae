package admission_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/rtshield/rtshield/integration/testhost"
)

const asYAML = "application/yaml"

// object is one of the API's, as JSON.
type object = map[string]any

// refused gives for what reason a request is refused, "" if it is not.
func refused(t *testing.T, token, method, path, contentType string, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := api.CallAs(token, method, path, contentType, text)
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Message string }
	if err := json.Unmarshal(answer, &said); err != nil {
		t.Fatalf("%d: %s", status, answer)
	}
	switch status {
	case http.StatusOK, http.StatusCreated:
		return ""
	case http.StatusForbidden, http.StatusUnprocessableEntity:
		return said.Message
	}
	t.Fatalf("%s %s: %d: %s", method, path, status, answer)
	return ""
}

func must(t *testing.T, method, path, contentType string, body any) {
	t.Helper()
	if said := refused(t, "", method, path, contentType, body); said != "" {
		t.Fatalf("%s %s: %s", method, path, said)
	}
}

// expect fails unless a request was refused with these words; none: unless it was not.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
		t.Errorf("%s: refused with %q, want %q", what, got, want)
	}
}

// judged waits until the policies are in force: the API server compiles them a little after it has been told.
func judged(t *testing.T) {
	t.Helper()
	testhost.Eventually(t, 30*time.Second, func() error {
		if refused(t, "", http.MethodPost, "/api/v1/namespaces/default/pods?dryRun=All", asYAML, pod("rtshield-fifo", nil)) == "" {
			return fmt.Errorf("rtshield-pods lets everything pass")
		}
		if refused(t, "", http.MethodPost, "/apis/node.k8s.io/v1/runtimeclasses?dryRun=All", asYAML, runtimeClass("fast", "rtshield-fifo")) == "" {
			return fmt.Errorf("rtshield-runtimeclasses lets everything pass")
		}
		return nil
	})
}

// pod has the containers app and log, and the init container setup.
func pod(class string, annotations map[string]string) object {
	noted := map[string]string{"other.example/note": "a=b"}
	for key, value := range annotations {
		noted[key] = value
	}
	containers := func(names ...string) (list []object) {
		for _, name := range names {
			list = append(list, object{"name": name, "image": "localhost/x"})
		}
		return list
	}
	spec := object{"containers": containers("app", "log"), "initContainers": containers("setup")}
	if class != "" {
		spec["runtimeClassName"] = class
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "x", "annotations": noted}, "spec": spec}
}

func runtimeClass(name, handler string) object {
	return object{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": object{"name": name}, "handler": handler}
}

// The cases of integration/manifests, which asks the API server's compiler the same.
func TestWhoMayAskOfARealAPIServer(t *testing.T) {
	judged(t)
	text, err := os.ReadFile("../../manifests/testdata/who-may-ask.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		What                   string
		Namespace, Annotations map[string]string
		RuntimeClass, Refused  string
	}
	if err := yaml.UnmarshalStrict(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 36 {
		t.Errorf("there are %d cases", len(cases))
	}
	for _, class := range []string{"gvisor", "rtshield-own"} {
		must(t, http.MethodPost, "/apis/node.k8s.io/v1/runtimeclasses", asYAML, runtimeClass(class, class))
	}
	for i, c := range cases {
		// Each has a namespace of its own: the API server learns of a label that changes when its watch brings it.
		name := fmt.Sprintf("robots-%d", i)
		must(t, http.MethodPost, "/api/v1/namespaces", asYAML, object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": name, "labels": c.Namespace}})
		got := refused(t, "", http.MethodPost, "/api/v1/namespaces/"+name+"/pods", asYAML, pod(c.RuntimeClass, c.Annotations))
		expect(t, c.What, got, strings.ReplaceAll(c.Refused, "namespace robots", "namespace "+name))
	}
}

func TestAPodThatRunsIsJudgedByWhatItChangesByARealAPIServer(t *testing.T) {
	judged(t)
	const space = "/api/v1/namespaces/moving"
	must(t, http.MethodPost, "/api/v1/namespaces", asYAML, object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{
		"name": "moving", "labels": object{"allow.rtshield.io/rtshield-fifo": "true", "rtshield.io/max-priority": "40"}}})
	must(t, http.MethodPost, space+"/pods", asYAML, pod("rtshield-fifo", map[string]string{"rtshield.io/priority": "30"}))
	note := func(key string, value any) object {
		return object{"metadata": object{"annotations": object{key: value}}}
	}
	const changed = space + "/pods/x?dryRun=All"
	for _, c := range []struct {
		what    string
		body    object
		refused string
	}{
		{"a priority below the ceiling", note("rtshield.io/priority", "40"), ""},
		{"a priority above it", note("rtshield.io/priority", "41"), "= 41: expected a priority, 1-40"},
		{"the priority goes, and with it the ceiling", note("rtshield.io/priority", nil), "container app names no priority"},
		{"an unknown key", note("rtshield.io/prio", "1"), "no such key"},
		{"a debug container that will come", note("class.rtshield.io/debugger", "batch"), ""},
	} {
		expect(t, c.what, refused(t, "", http.MethodPatch, changed, merge, c.body), c.refused)
	}
	must(t, http.MethodPatch, space, merge, object{"metadata": object{"labels": object{"allow.rtshield.io/rtshield-fifo": nil}}})
	testhost.Eventually(t, 30*time.Second, func() error { // its watch brings the label to the API server
		if refused(t, "", http.MethodPost, space+"/pods?dryRun=All", asYAML, pod("rtshield-fifo", map[string]string{"rtshield.io/priority": "30"})) != "" {
			return nil
		}
		return fmt.Errorf("the namespace is still allowed")
	})
	expect(t, "a label, where it is allowed no more", refused(t, "", http.MethodPatch, changed, merge, labels(object{"a": "b"})), "")
	expect(t, "a priority, where it is allowed no more", refused(t, "", http.MethodPatch, changed, merge, note("rtshield.io/priority", "20")), "may not use RuntimeClass rtshield-fifo")
}
