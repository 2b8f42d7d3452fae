package status

import (
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/shield"
)

func TestAPodIsShownAsAUnit(t *testing.T) {
	set := func(cpus ...int) shield.CPUs { return shield.CPUsOf(cpuset.New(cpus...)) }
	a, b := &shield.Pod{ID: "1", Name: "default/a"}, &shield.Pod{ID: "2", Name: "default/b"}
	pods := podsOf([]Grant{
		{Name: "ctl", Pod: a, CPUs: set(2), Idle: set(6), Mems: set(0)}, {Name: "alone", CPUs: set(9), Mems: set(1)},
		{Name: "web", Pod: b, CPUs: set(5), Mems: set(1)}, {Name: "io", Pod: a, CPUs: set(3), Mems: set(0)},
	})
	want := []Pod{
		{*a, set(2, 3), set(6), set(0), []string{"ctl", "io"}}, {*b, set(5), set(), set(1), []string{"web"}},
	}
	text := func(pods []Pod) string {
		data, err := json.Marshal(pods)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if text(pods) != text(want) {
		t.Errorf("%s, want %s", text(pods), text(want))
	}
	if got := podsOf([]Grant{{Name: "alone"}}); !reflect.DeepEqual(got, []Pod(nil)) {
		t.Errorf("without a pod: %v", got)
	}
}
