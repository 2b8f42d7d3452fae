// Package config reads the administrator's policy file, /etc/rtshield/config.toml. It is strict: an unknown key or a
// value that cannot be meant is an error with file, line and what was expected.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/rtshield/rtshield/internal/config/location"
	"github.com/rtshield/rtshield/internal/privilege"
	"github.com/rtshield/rtshield/internal/shield"
)

// DefaultState is where the ledger lives unless [runtime] state says otherwise.
const DefaultState = "/run/rtshield"

// Config is the policy of a host.
type Config struct {
	// Path is the file, or "" when there was none and everything is built in.
	Path      string
	Delegates []string
	State     string
	Layout    shield.LayoutSpec
	Classes   map[string]shield.Class
}

// file is the policy file as written. Pointers tell what is absent from what is zero.
type file struct {
	Runtime struct {
		Delegates []string `toml:"delegates"`
		State     string   `toml:"state"`
		Classes   []string `toml:"classes"`
	} `toml:"runtime"`
	Layout struct {
		Shield   string   `toml:"shield"`
		Reserve  string   `toml:"reserve"`
		CPUsFrom string   `toml:"cpus_from"`
		Kubelet  string   `toml:"kubelet"`
		Level    string   `toml:"level"`
		Exempt   []string `toml:"exempt"`
	} `toml:"layout"`
	Class map[string]class `toml:"class"`
}

// Default is the policy of a host without a policy file.
func Default() Config {
	return Config{Delegates: []string{"runc", "crun"}, State: DefaultState, Classes: shield.BuiltinClasses()}
}

// Load reads the policy file. A missing file at the default path is the default policy; one named by RTSHIELD_CONFIG
// has to exist.
func Load() (Config, error) {
	path := location.Path()
	data, err := readTrusted(path)
	if errors.Is(err, fs.ErrNotExist) && path == location.Default {
		return Default(), nil
	}
	if err != nil {
		return Config{}, err
	}
	config, err := Parse(path, data)
	if err != nil {
		return Config{}, err
	}
	return config, nil
}

func readTrusted(path string) ([]byte, error) {
	if err := privilege.Trusted(path); err != nil {
		return nil, fmt.Errorf("policy file: %w", err)
	}
	return os.ReadFile(path)
}

// Parse reads the text of a policy file; path is for messages.
func Parse(path string, data []byte) (Config, error) {
	var parsed file
	decoder := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		return Config{}, decodeError(path, err)
	}
	at := func(problem error, table ...string) error { return locate(path, data, problem, table) }

	config := Default()
	config.Path = path
	if len(parsed.Runtime.Delegates) > 0 {
		config.Delegates = parsed.Runtime.Delegates
	}
	for _, delegate := range config.Delegates {
		if delegate == "" || strings.Contains(delegate, "/") && !filepath.IsAbs(delegate) {
			return Config{}, at(option("delegates", delegate, "names, or absolute paths"), "runtime")
		}
	}
	if parsed.Runtime.State != "" {
		config.State = parsed.Runtime.State
	}
	if !filepath.IsAbs(config.State) {
		return Config{}, at(option("state", config.State, "an absolute path"), "runtime")
	}
	config.Layout = shield.LayoutSpec{
		Shield: parsed.Layout.Shield, Reserve: parsed.Layout.Reserve, CPUsFrom: parsed.Layout.CPUsFrom,
		Kubelet: parsed.Layout.Kubelet, Level: parsed.Layout.Level, Exempt: parsed.Layout.Exempt,
	}
	if err := checkLayout(config.Layout); err != nil {
		return Config{}, at(err, "layout")
	}
	for name, written := range parsed.Class {
		if name == "" || strings.ContainsFunc(name, notBare) {
			return Config{}, at(option("class", name, "a name of letters, digits, - and _"))
		}
		built, err := written.build(name)
		if err != nil {
			return Config{}, at(err, "class", name)
		}
		config.Classes[name] = built
	}
	if err := offer(config.Classes, parsed.Runtime.Classes); err != nil {
		return Config{}, at(err, "runtime")
	}
	return config, nil
}

// offer leaves only the classes that may be asked for. None named: all.
func offer(classes map[string]shield.Class, offered []string) error {
	for _, name := range offered {
		if _, known := classes[name]; !known {
			return option("classes", name, "classes of this file, or built in")
		}
	}
	if offered != nil {
		maps.DeleteFunc(classes, func(name string, _ shield.Class) bool { return !slices.Contains(offered, name) })
	}
	return nil
}

func checkLayout(layout shield.LayoutSpec) error {
	if layout.Shield != "" && layout.Shield != "auto" {
		if _, err := shield.ParseCPUs(layout.Shield); err != nil {
			return option("shield", layout.Shield, `"auto" or a list of CPUs such as "2-7"`)
		}
	}
	if !slices.Contains([]string{"", "on-demand", "always"}, layout.Reserve) {
		return option("reserve", layout.Reserve, `"on-demand" or "always"`)
	}
	if layout.Kubelet != "" && !filepath.IsAbs(layout.Kubelet) {
		return option("kubelet", layout.Kubelet, "an absolute path, the kubelet's --root-dir")
	}
	if !slices.Contains([]string{"", shield.FromAuto, shield.FromRtshield, shield.FromEngine}, layout.CPUsFrom) {
		return option("cpus_from", layout.CPUsFrom, `"auto", "rtshield" or "engine"`)
	}
	if !slices.Contains(append([]string{"", "auto"}, shield.Levels...), layout.Level) {
		return option("level", layout.Level, `"auto", "partition", "cpuset" or "affinity"`)
	}
	for _, pattern := range layout.Exempt {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			return option("exempt", pattern, "names of tasks, or globs")
		}
	}
	return nil
}

func option(name, value, want string) error {
	return &shield.OptionError{Option: name, Value: value, Want: want}
}
