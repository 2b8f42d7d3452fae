package kubelet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Config is what a KubeletConfiguration says of CPUs. Words are as written; "" stands for what it does not say.
type Config struct {
	CPUManagerPolicy, TopologyManagerPolicy, TopologyManagerScope, MemoryManagerPolicy string
	// CPUManagerOptions are cpuManagerPolicyOptions.
	CPUManagerOptions map[string]string
	// Reserved is reservedSystemCPUs.
	Reserved cpuset.CPUSet
	// ReservesTime: CPU time is reserved (kubeReserved, systemReserved), of which the static policy makes whole CPUs of its own
	// choice where reservedSystemCPUs does not name them.
	ReservesTime bool
}

// Option says whether one of cpuManagerPolicyOptions is on.
func (c Config) Option(name string) bool { return c.CPUManagerOptions[name] == "true" }

// ParseConfig reads a KubeletConfiguration, YAML or JSON. Of YAML it knows what such files are written in: keys with a value on
// their line, or with more of these, indented, below; whatever else stands in other parts is passed over. One of our keys that
// is written in another way is an error with its line.
func ParseConfig(data []byte) (*Config, error) {
	values, err := readYAML(string(data))
	if trimmed := bytes.TrimSpace(data); bytes.HasPrefix(trimmed, []byte("{")) {
		values, err = readJSON(trimmed)
	}
	if err != nil {
		return nil, err
	}
	config := &Config{CPUManagerOptions: map[string]string{}}
	for key, value := range values {
		switch key {
		case "kind":
			if value != "KubeletConfiguration" {
				return nil, fmt.Errorf("kind is %s, not KubeletConfiguration", value)
			}
		case "cpuManagerPolicy":
			config.CPUManagerPolicy = value
		case "topologyManagerPolicy":
			config.TopologyManagerPolicy = value
		case "topologyManagerScope":
			config.TopologyManagerScope = value
		case "memoryManagerPolicy":
			config.MemoryManagerPolicy = value
		case "reservedSystemCPUs":
			cpus, err := shield.ParseCPUs(value)
			if err != nil {
				return nil, fmt.Errorf("reservedSystemCPUs: %w", err)
			}
			config.Reserved = cpus.CPUSet
		case "kubeReserved.cpu", "systemReserved.cpu":
			config.ReservesTime = config.ReservesTime || strings.Trim(value, "0m") != ""
		}
		if option, found := strings.CutPrefix(key, "cpuManagerPolicyOptions."); found {
			config.CPUManagerOptions[option] = value
		}
	}
	return config, nil
}

// LoadConfig reads the configuration below a kubelet's directory, nil where there is none: it may be anywhere (--config).
func LoadConfig(root host.Root, dir string) (*Config, error) {
	name := filepath.Join(dir, ConfigFile)
	text, err := root.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	config, err := ParseConfig([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return config, nil
}

// wanted are the keys that are read; true: with keys below.
var wanted = map[string]bool{
	"kind": false, "cpuManagerPolicy": false, "topologyManagerPolicy": false, "topologyManagerScope": false, "memoryManagerPolicy": false,
	"reservedSystemCPUs": false, "cpuManagerPolicyOptions": true, "kubeReserved": true, "systemReserved": true,
}

// readYAML gives the wanted values, those of keys below others as "outer.inner".
func readYAML(text string) (map[string]string, error) {
	values := map[string]string{}
	outer := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \r")
		content := strings.TrimLeft(line, " ")
		indented := content != line
		wrong := func(what string) error {
			return fmt.Errorf("line %d: %s: %q: write it as `key: value`", i+1, what, content)
		}
		switch {
		case content == "" || strings.HasPrefix(content, "#") || line == "---":
			continue
		case indented && outer == "": // of a key that is not ours
			continue
		case !indented:
			outer = ""
		}
		key, value, err := pair(content)
		below, ours := wanted[key]
		switch {
		case !indented && err == nil && !ours, !indented && err != nil && !mentions(content): // not ours
			continue
		case err != nil:
			return nil, wrong(err.Error())
		case indented:
			key = outer + "." + key
		case below && value == "":
			outer = key
			continue
		case below && value == "{}":
			continue
		case below:
			return nil, wrong("its keys are not on lines of their own")
		}
		if _, twice := values[key]; twice {
			return nil, wrong("it stands twice")
		}
		values[key] = value
	}
	return values, nil
}

// mentions says whether a line that is no pair begins with a key that we would have read.
func mentions(content string) bool {
	words := strings.FieldsFunc(content, func(r rune) bool { return r == ':' || r == ' ' })
	if len(words) == 0 {
		return false
	}
	_, ours := wanted[strings.Trim(words[0], `"'?`)]
	return ours
}

// pair reads "key: value", either of them quoted or not.
func pair(content string) (key, value string, err error) {
	key, rest, found := strings.Cut(content, ":")
	if !found || rest != "" && rest[0] != ' ' {
		return key, "", errors.New("it is no key with a value")
	}
	if key, err = scalar(key); err != nil {
		return key, "", err
	}
	value, err = scalar(rest)
	return key, value, err
}

// scalar reads a plain or quoted word, and takes a comment behind it away.
func scalar(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return "", nil
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		end := strings.IndexByte(text[1:], quote)
		if end < 0 {
			return "", errors.New("a quote is open")
		}
		inner, behind := text[1:end+1], strings.TrimSpace(text[end+2:])
		if strings.Contains(inner, `\`) || behind != "" && behind[0] != '#' {
			return "", errors.New("it is more than a word")
		}
		return inner, nil
	}
	if before, _, found := strings.Cut(text, " #"); found {
		text = strings.TrimSpace(before)
	}
	if text != "{}" && strings.ContainsAny(text[:1], "{[&*!|>%@`?") {
		return "", errors.New("it is more than a word")
	}
	return text, nil
}

func readJSON(data []byte) (map[string]string, error) {
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for key, below := range wanted {
		value, given := object[key]
		inner, isObject := value.(map[string]any)
		switch {
		case !given || value == nil:
		case below != isObject:
			return nil, fmt.Errorf("%s is %v", key, value)
		case below:
			for name, value := range inner {
				values[key+"."+name] = fmt.Sprint(value)
			}
		default:
			values[key] = fmt.Sprint(value)
		}
	}
	return values, nil
}
