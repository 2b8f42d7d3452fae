// Package platform tells how the kernel was built and booted, and what it runs on.
package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
)

// Config are the options that the kernel was built with, CONFIG_ left out: y, m, or a value. One that is not set is not
// in it.
type Config map[string]string

// ReadConfig finds them where kernels and distributions keep them; fs.ErrNotExist where this one does not.
func ReadConfig(root host.Root) (Config, error) {
	release := root.Kernel()
	for _, path := range []string{"/proc/config.gz", "/boot/config-" + release, "/lib/modules/" + release + "/config", "/usr/lib/modules/" + release + "/config"} {
		text, err := readConfig(root.Path(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return parseConfig(text), nil
	}
	return nil, fs.ErrNotExist
}

// readConfig unpacks with gzip(1): the library's initialisation would be paid by every OCI verb.
func readConfig(path string) (string, error) {
	if !strings.HasSuffix(path, ".gz") {
		text, err := os.ReadFile(path)
		return string(text), err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	gzip := exec.Command("gzip", "-dc")
	gzip.Stdin = file
	text, err := gzip.Output()
	if err != nil {
		return "", fmt.Errorf("%s: gzip -dc: %w", path, err)
	}
	return string(text), nil
}

func parseConfig(text string) Config {
	config := Config{}
	for line := range strings.Lines(text) {
		name, value, set := strings.Cut(strings.TrimSpace(line), "=")
		if name, ours := strings.CutPrefix(name, "CONFIG_"); set && ours {
			config[name] = strings.Trim(value, `"`)
		}
	}
	return config
}

// Option gives the last value of an option on the kernel's command line.
func Option(root host.Root, name string) (value string, found bool) {
	text, _ := root.Read("proc/cmdline")
	for word := range strings.FieldsSeq(text) {
		if key, is, _ := strings.Cut(word, "="); key == name {
			value, found = is, true
		}
		if word == "--" { // the rest is init's
			break
		}
	}
	return value, found
}

// Chosen reads a file that lists the choices with the present one in brackets, "always [madvise] never".
func Chosen(text string) (now string, all []string) {
	for word := range strings.FieldsSeq(text) {
		bare := strings.Trim(word, "[]()")
		if bare != word {
			now = bare
		}
		all = append(all, bare)
	}
	return now, all
}

// Preemption is how soon a task that runs in the kernel makes way.
type Preemption struct {
	// Model is rt, full, lazy, voluntary, none, or "" where that cannot be told.
	Model string
	// Dynamic: a boot option changes it; Choices are those that can be set in PreemptFile now, with debugfs.
	Dynamic bool
	Choices []string
	// Source is the file that tells.
	Source string
}

// PreemptFile shows and sets the model of a kernel with PREEMPT_DYNAMIC.
const PreemptFile = "/sys/kernel/debug/sched/preempt"

// ReadPreemption finds it out. The kernel tells all of it only through debugfs; else what it was built and booted with does.
func ReadPreemption(root host.Root, config Config) Preemption {
	if text, err := root.Read("sys/kernel/realtime"); err == nil && text == "1" {
		return Preemption{Model: "rt", Source: "/sys/kernel/realtime"}
	}
	version, _ := root.Read("proc/version")
	if strings.Contains(version, "PREEMPT_RT") || strings.Contains(version, "PREEMPT RT") {
		return Preemption{Model: "rt", Source: "/proc/version"}
	}
	built := map[string]string{"PREEMPT": "full", "PREEMPT_LAZY": "lazy", "PREEMPT_VOLUNTARY": "voluntary", "PREEMPT_NONE": "none"}
	now := Preemption{Dynamic: strings.Contains(version, "PREEMPT_DYNAMIC"), Source: "/proc/version"}
	for option, model := range built {
		if config[option] == "y" {
			now.Model, now.Source = model, "the configuration that the kernel was built with"
		}
	}
	if config == nil && !now.Dynamic && strings.Contains(version, " PREEMPT ") {
		now.Model = "full"
	}
	if !now.Dynamic {
		return now
	}
	if asked, found := Option(root, "preempt"); found {
		now.Model, now.Source = asked, "/proc/cmdline"
	}
	if text, err := root.Read(PreemptFile); err == nil {
		now.Model, now.Choices = Chosen(text)
		now.Source = PreemptFile
	}
	return now
}

// Lockdown is how much of the kernel root may touch: none, integrity or confidentiality; "" without that security module.
func Lockdown(root host.Root) string {
	text, err := root.Read("sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	now, _ := Chosen(text)
	return now
}
