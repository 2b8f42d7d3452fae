package engine

import (
	"fmt"
	"regexp"
	"strings"
)

// template is the config.toml.tmpl that k3s and RKE2 make containerd's configuration from. It is no TOML until they have
// filled it in, so it is searched and not read.
type template struct{ config, text, plugin string }

const templateSuffix = ".tmpl"

func newTemplate(config, text string) editor {
	version := int64(2)
	if strings.HasSuffix(config, "-v3.toml.tmpl") {
		version = 3
	}
	if found := regexp.MustCompile(`(?m)^\s*version\s*=\s*(\d)`).FindStringSubmatch(text); found != nil {
		version = int64(found[1][0] - '0')
	}
	return template{config, text, plugins[version]}
}

func (t template) known() map[string]string {
	section := regexp.MustCompile(`(?m)^[ \t]*\[plugins\.[^\]\n]*\.runtimes\.["']?([\w-]+)["']?\]`)
	// BinaryName stands in a table of its own below.
	binaryName := regexp.MustCompile(`(?m)^[ \t]*\[plugins\.[^\]\n]*\.runtimes\.["']?([\w-]+)["']?\.options\][^\[]*?\bBinaryName\s*=\s*["']([^"'\n]*)`)
	known := map[string]string{}
	for _, found := range section.FindAllStringSubmatch(t.text, -1) {
		known[found[1]] = ""
	}
	for _, found := range binaryName.FindAllStringSubmatch(t.text, -1) {
		known[found[1]] = found[2]
	}
	return known
}

func (t template) insert(runtimes []Runtime) (edit, error) {
	if t.plugin == "" {
		return edit{}, fmt.Errorf("%s has a version of the format that is not known", t.config)
	}
	text := t.text
	if strings.TrimSpace(text) == "" {
		text = baseTemplate
	}
	var block strings.Builder
	for _, r := range runtimes {
		table := inherit(nil, "", r.Program)
		options := table["options"].(map[string]any)
		delete(table, "options")
		path := []string{"plugins", t.plugin, "containerd", "runtimes", r.Name}
		section(&block, path, table)
		section(&block, append(path, "options"), options)
		block.WriteString("  SystemdCgroup = {{ .SystemdCgroup }}\n")
	}
	return edit{path: t.config, text: addBlock(text, block.String())}, nil
}

// baseTemplate is all that k3s itself would write.
const baseTemplate = "{{ template \"base\" . }}\n"
