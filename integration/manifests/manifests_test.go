// Package manifests_test renders deploy/ as kustomize and helm do, and holds what comes out to the API's types. In a module
// of its own: what it takes is nothing of the product's.
package manifests_test

import (
	"bytes"
	"strings"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	node "k8s.io/api/node/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const deploy = "../../deploy/"

var overlays = []string{"containerd", "crio", "k3s"}

// strict refuses a field that the API does not have, and one that stands twice.
var strict = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionregistration.AddToScheme, apps.AddToScheme, core.AddToScheme, node.AddToScheme, rbac.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"}, &prometheusRule{})
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

type object interface {
	runtime.Object
	meta.Object
}

// decode reads a stream of YAML documents, in their order.
func decode(t *testing.T, stream []byte) (objects []object) {
	t.Helper()
	for _, document := range bytes.Split(stream, []byte("\n---\n")) {
		if text := strings.TrimSpace(strings.TrimPrefix(string(document), "---\n")); text == "" {
			continue
		}
		decoded, _, err := strict.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		objects = append(objects, decoded.(object))
	}
	return objects
}

// name is what an object is called by in messages.
func name(o object) string {
	return o.GetObjectKind().GroupVersionKind().Kind + " " + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

func kustomize(t *testing.T, overlay string) []object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), deploy+"overlays/"+overlay)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, resources)
}

func decoded(t *testing.T, resources resmap.ResMap) []object {
	t.Helper()
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, text)
}

// only gives the one object of its type with that name.
func only[T object](t *testing.T, objects []object, name string) (found T) {
	t.Helper()
	count := 0
	for _, o := range objects {
		if typed, ok := o.(T); ok && o.GetName() == name {
			found = typed
			count++
		}
	}
	if count != 1 {
		t.Fatalf("%d objects %s", count, name)
	}
	return found
}
