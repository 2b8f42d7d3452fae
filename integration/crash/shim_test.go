package crash_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// delegateFace is `delegate WHEN NTH HOW KIND REPORT RUNC ARGS…`: be RUNC, with a create that has the tracer around our hook WHEN.
// What rtshield wrote into the bundle stays: runc gets a copy of it.
//
// The other hooks of ours that would clean up are left out: what is asked is whether reconcile alone finds its way back.
func delegateFace(args []string) (int, error) {
	if len(args) < 6 {
		return 0, errors.New("usage: delegate WHEN NTH HOW KIND REPORT RUNC ARGS")
	}
	when, trace, runc, argv := args[0], append([]string{"trace"}, args[1:5]...), args[5], args[6:]
	for i, arg := range argv {
		if i == 0 || argv[i-1] != "--bundle" {
			continue
		}
		copied, err := instrument(arg, when, trace)
		if err != nil {
			return 0, err
		}
		argv[i] = copied
	}
	return 0, syscall.Exec(runc, append([]string{runc}, argv...), os.Environ())
}

// instrument copies config.json into a bundle beside the given one.
func instrument(bundle, when string, prefix []string) (string, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return "", err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if spec.Hooks == nil {
		return "", fmt.Errorf("%s has no hooks", bundle)
	}
	found := false
	wrap := func(hooks []specs.Hook) []specs.Hook {
		for i, hook := range hooks {
			if !strings.HasPrefix(strings.Join(hook.Args, " "), "rtshield hook ") {
				continue
			}
			found = true
			hooks[i].Args = append(append([]string{"crash.test"}, prefix...), append([]string{hook.Path}, hook.Args[1:]...)...)
			hooks[i].Path = self
		}
		return hooks
	}
	switch when {
	case "createRuntime":
		spec.Hooks.CreateRuntime = wrap(spec.Hooks.CreateRuntime)
		spec.Hooks.Poststop = nil
	case "poststop":
		spec.Hooks.Poststop = wrap(spec.Hooks.Poststop)
	}
	if !found {
		return "", fmt.Errorf("%s has no hook %s of rtshield", bundle, when)
	}
	to := bundle + ".copy"
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	if data, err = json.Marshal(spec); err != nil {
		return "", err
	}
	return to, os.WriteFile(filepath.Join(to, "config.json"), data, 0o644)
}
