package spec

import (
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
)

func TestAContainerTellsItsPod(t *testing.T) {
	crio := documentOf(`{"annotations":{"io.kubernetes.cri-o.SandboxID":"5a","io.kubernetes.pod.namespace":"rt","io.kubernetes.pod.name":"loop","io.kubernetes.cri-o.ContainerType":"container"}}`)
	for document, want := range map[*Document]shield.Pod{
		load(t, bundle(t, "testdata/containerd-cri-container.json")): {ID: "273763171fa2acd41093720c77545e2700406a249477fb19a8f6ad1bf0a1e029", Name: "default/rt-priv"},
		crio: {ID: "5a", Name: "rt/loop"},
		load(t, bundle(t, "testdata/runc-spec.json")): {},
	} {
		request, err := document.Request(shield.Key{ID: "x"}, "")
		if err != nil || request.Pod != want {
			t.Errorf("%+v, %v; want %+v", request.Pod, err, want)
		}
	}
}
