package runc_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func failing() specs.Hook { return specs.Hook{Path: "/bin/false"} }

func TestAContainerThatFailsToStartLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		edit rig.Edit
	}{
		{"its program is not there", rig.Args("/nosuch")},
		{"a createRuntime hook of the user's fails before ours", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{failing()}} }},
		{"a createContainer hook fails after ours", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{failing()}} }},
		{"a startContainer hook fails", func(s *specs.Spec) { s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{failing()}} }},
		{"a poststart hook fails", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststart: []specs.Hook{failing()}} }},
		{"its mount is not there", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/nosuch", Type: "bind", Options: []string{"bind"}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig.Each(t, func(r *rig.Rig) {
				bundle := r.Bundle("f", rig.Class("fifo"), rig.Args("/bin/true"), c.edit)
				for _, verb := range []string{"run", "create"} {
					res, _ := r.TryBegin(verb, "f", bundle)
					if verb == "run" && res.Code == 0 {
						r.Errorf("it did not fail: %s", res)
					}
					r.OCI("start", "f") // where create has succeeded, and start may fail
					r.OCI("delete", "--force", "f")
					r.AsBefore(verb + " and delete")
					r.Gone(verb + " and delete")
				}
			})
		})
	}
}

// Without the engine's delete: runc's own clean-up runs our poststop hook, or else the grant has lost its owner.
func TestAFailedRunHoldsNoCPUAgainstTheNext(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		for i := range 3 {
			id := fmt.Sprint("f", i)
			if res, _ := r.TryBegin("run", id, r.Bundle(id, rig.Class("fifo"), rig.Args("/nosuch"))); res.Code == 0 {
				r.Fatal(res)
			}
		}
		id := "good"
		r.Track(id)
		r.Must(r.OCI("run", "--bundle", r.Bundle(id, rig.Class("fifo"), rig.Args("/bin/true")), id))
		r.AsBefore("after the good one")
	})
}

// The delegate's script puts a failing hook behind ours, where no user can put one.
func TestAHookThatFailsRightAfterOursLeavesNothing(t *testing.T) {
	rig.EachRunc(t, func(t *testing.T, runc string) {
		r := rig.New(t, runc, testhost.Options{})
		program := script(r, "delegate", fmt.Sprintf(`previous=
for word; do
	if [ "$previous" = --bundle ]; then
		jq '.hooks.createRuntime += [{"path": "/bin/false"}]' "$word/config.json" >"$word/config.new"
		mv "$word/config.new" "$word/config.json"
	fi
	previous=$word
done
exec %s "$@"
`, r.Runc))
		policy := r.Dir + "/script.toml"
		put(r, policy, fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n", program, r.Policy.State))
		plain := *r
		r.Env = []string{"RTSHIELD_CONFIG=" + policy}
		res, _ := r.TryBegin("create", "f", r.Bundle("f", rig.Class("fifo")))
		if res.Code == 0 {
			r.Errorf("it did not fail: %s", res)
		}
		r.OCI("delete", "--force", "f")
		plain.Settled("after the failed create")
		r.Gone("after the failed create")
	})
}
