package runc_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func TestAPolicyFileOfGarbageStopsCreateAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"not TOML", "[runtime\nstate = 1\n", []string{"config.toml:1:", "expected"}},
		{"an unknown key", "[layout]\nsheild = \"1\"\n", []string{"config.toml:2:", `"layout.sheild"`, "expected one of shield"}},
		{"a bad value", "[layout]\n\nreserve = \"never\"\n", []string{"config.toml:3:", `reserve = "never"`, `expected "on-demand" or "always"`}},
		{"a bad class", "[class.fifo]\npriority = 200\n", []string{"config.toml:2:", `priority = "200"`, "expected 1-99"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig.Each(t, func(r *rig.Rig) {
				r.Detach("web", r.Bundle("web", rig.Class("fifo")))
				good := r.Text(r.Policy.Path)
				put(r, r.Policy.Path, c.text)
				fixed := false
				fix := func() {
					if !fixed {
						put(r, r.Policy.Path, good)
						fixed = true
					}
				}
				defer fix()

				for _, bundle := range []string{r.Bundle("new", rig.Class("fifo")), r.Bundle("plain")} {
					res, _ := r.TryBegin("create", "new", bundle)
					refused(r, res, c.words...)
				}
				if status := r.Status("web"); status != "running" {
					r.Errorf("state says %q", status)
				}
				has(r, "list", r.Must(r.OCI("list")).Stdout, "web", "running")
				r.Must(r.OCI("ps", "web"))
				r.Must(r.OCI("exec", "web", "/bin/true"))
				r.Stop("web")
				r.Must(r.OCI("delete", "web"))
				r.Gone("delete with a broken policy file")
				// The poststop hook carries the ledger's directory, so all of it is back, too.
				r.AsBefore("delete with a broken policy file")
				fix()
			})
		})
	}
}

func TestPassThroughNeedsNoStateDirectoryAndNoPolicyFile(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		policy := r.Policy.Path + ".away"
		if err := os.RemoveAll(r.Policy.State); err != nil {
			r.Fatal(err)
		}
		// The file is gone as well, while RTSHIELD_CONFIG still names it.
		if err := os.Rename(r.Policy.Path, policy); err != nil {
			r.Fatal(err)
		}
		defer func() {
			if err := os.Rename(policy, r.Policy.Path); err != nil {
				r.Error(err)
			}
		}()
		has(r, "state", r.Must(r.OCI("state", "o")).Stdout, `"status": "running"`)
		r.Must(r.OCI("list"))
		r.Must(r.OCI("features"))
		r.Must(r.OCI("exec", "o", "/bin/true"))
		r.Stop("o")
		r.Must(r.OCI("delete", "o"))
		if exists(r.Policy.State) {
			r.Errorf("a pass-through verb made %s", r.Policy.State)
		}
	})
}

// An engine asks when it starts: after each boot before any create.
func TestFeaturesAreThoseOfThePolicysDelegateBeforeAnyCreate(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		stub := filepath.Join(r.Dir, "stub")
		if err := os.WriteFile(stub, []byte("#!/bin/sh\necho features of the stub: \"$@\"\n"), 0o755); err != nil {
			r.Fatal(err)
		}
		other := *r
		other.Policy = testhost.Policy(r, testhost.Options{Delegates: []string{stub}})
		other.Env = []string{other.Policy.Env()}
		has(r, "features", other.Must(other.OCI("features")).Stdout, "features of the stub: --root "+r.Root+" features")
		if err := os.WriteFile(other.Policy.Path, []byte("garbage"), 0o644); err != nil {
			r.Fatal(err)
		}
		has(r, "features, with a policy of garbage", other.Must(other.OCI("features")).Stdout, "ociVersionMax")
	})
}

// /run itself is everybody's, so the test gives rtshield a mount namespace with an empty one.
func TestPassThroughNeedsNoRunRtshield(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("o", r.Bundle("o"))
		defer r.End("o")
		for _, command := range []string{"state o", "list", "ps o", "features"} {
			text := "mount -t tmpfs none /run; exec " + r.Rtshield + " --root " + r.Root + " " + command
			r.Must(r.Program("/usr/bin/unshare", "--mount", "--propagation=private", "/bin/sh", "-c", text))
		}
	})
}
