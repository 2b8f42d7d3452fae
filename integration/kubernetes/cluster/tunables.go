package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// tunables are what the kubelet sets in the kernel whenever it starts (pkg/kubelet/cm, setupKernelTunables), below /proc/sys.
var tunables = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// noteTunables writes what they are now to a file, once.
func noteTunables(file string) error {
	values := map[string]string{}
	for _, name := range tunables {
		text, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			return err
		}
		values[name] = strings.TrimSpace(string(text))
	}
	text, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// restoreTunables gives back what is in the file, and reads it back. Where there is none, no kubelet has been started.
func restoreTunables(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	if err != nil {
		return err
	}
	var problems []error
	for name, was := range values {
		now, err := os.ReadFile("/proc/sys/" + name)
		if err == nil && strings.TrimSpace(string(now)) != was {
			if err = os.WriteFile("/proc/sys/"+name, []byte(was), 0o644); err == nil {
				now, err = os.ReadFile("/proc/sys/" + name)
			}
		}
		if err == nil && strings.TrimSpace(string(now)) != was {
			err = fmt.Errorf("%s was %s, and stays %s", name, was, now)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
