package engine

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// containerd is config.toml with what it imports. What counts is the version of the file on the disk: `containerd config
// dump` always speaks of the newest.
type containerd struct {
	path    string
	version int64
	plugin  string // whose section the runtimes stand in
	sources []source
	dropins []string // files that the imports would find
	files   *tree
}

// source is one of the files, in the order in which containerd reads them.
type source struct {
	path, text string
	table      map[string]any
}

// plugins are those whose section the runtimes stand in, by the version of the file.
var plugins = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime", 4: "io.containerd.cri.v1.runtime"}

func newContainerd(files *tree, config string) (editor, error) {
	text, _, err := files.read(config)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(config, templateSuffix) {
		return newTemplate(config, text), nil
	}
	c := containerd{path: config, files: files}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, c.check()
}

// load reads the file and what it imports, as LoadConfig of containerd does.
func (c *containerd) load() error {
	pending := []string{c.path}
	for len(pending) > 0 {
		path := pending[0]
		pending = pending[1:]
		if slices.ContainsFunc(c.sources, func(s source) bool { return s.path == path }) {
			continue
		}
		text, exists, err := c.files.read(path)
		if err != nil {
			return err
		}
		if !exists && path != c.path && !slices.Contains(c.dropins, path) {
			return fmt.Errorf("%s is imported, and is not there: containerd would not start", path)
		}
		table, err := parse(path, text)
		if err != nil {
			return err
		}
		c.sources = append(c.sources, source{path, text, table})
		imports, _ := table["imports"].([]any)
		for _, entry := range imports {
			found, err := c.resolve(path, fmt.Sprint(entry))
			if err != nil {
				return err
			}
			pending = append(pending, found...)
		}
	}
	return nil
}

// resolve gives the files that an import stands for, and with them the one that ours would be.
func (c *containerd) resolve(parent, pattern string) ([]string, error) {
	pattern = filepath.Clean(pattern)
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(parent), pattern)
	}
	if !strings.Contains(pattern, "*") {
		return []string{pattern}, nil
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: imports %q: %w", parent, pattern, err)
	}
	dir, base := filepath.Split(pattern)
	if strings.Count(base, "*") == 1 && !strings.ContainsAny(base, `?[\`) && !strings.ContainsAny(dir, `*?[\`) {
		ours := dir + strings.Replace(base, "*", "99-rtshield", 1)
		c.dropins = append(c.dropins, ours)
		if !slices.Contains(found, ours) {
			found = append(found, ours)
			slices.Sort(found)
		}
	}
	return found, nil
}

// ErrNoCRI: containerd serves somebody else, such as dockerd, who brings runtimes of his own.
var ErrNoCRI = errors.New("disabled_plugins")

// check refuses a configuration in which no runtime would be found.
func (c *containerd) check() error {
	main := c.sources[0].table
	for _, s := range c.sources {
		disabled, _ := s.table["disabled_plugins"].([]any)
		for _, name := range disabled {
			if name == "cri" || slices.Contains(slices.Collect(maps.Values(plugins)), fmt.Sprint(name)) {
				return fmt.Errorf("%s has %q in %w, and nothing else reads runtimes (ctr --runc-binary and nerdctl --runtime take a path): take it out of the list for Kubernetes", s.path, name, ErrNoCRI)
			}
		}
	}
	switch version := main["version"].(type) {
	case nil:
		c.version = 1
		if len(main) == 0 {
			c.version = 2 // nothing yet, in the oldest that every containerd in use reads
		}
	case int64:
		c.version = version
	default:
		return fmt.Errorf("%s: version is %q, and has to be a number", c.path, version)
	}
	if c.plugin = plugins[c.version]; c.plugin == "" {
		return fmt.Errorf("%s has version %v of the format, known are 2 to 4: `containerd config migrate` prints it in the newest", c.path, max(c.version, 1))
	}
	return nil
}

// containerdRuntimes are those of one file, of any version.
func containerdRuntimes(all map[string]any) map[string]string {
	found := map[string]string{}
	for _, plugin := range plugins {
		maps.Copy(found, programs(lookup(all, "plugins", plugin, "containerd", "runtimes")))
	}
	return found
}

// merged is the plugin's section in effect.
func (c containerd) merged() map[string]any {
	all := map[string]any{}
	for _, s := range c.sources {
		if section := lookup(s.table, "plugins", c.plugin); section != nil {
			again, _ := parse(s.path, s.text) // not to be changed under others
			overlay(all, lookup(again, "plugins", c.plugin), math.MaxInt)
		}
	}
	return all
}

func (c containerd) known() map[string]string {
	return programs(lookup(c.merged(), "containerd", "runtimes"))
}

func (c containerd) insert(runtimes []Runtime) (edit, error) {
	path, source := c.place()
	text, _, err := c.files.read(path)
	if err != nil {
		return edit{}, err
	}
	var block strings.Builder
	at := []string{"plugins", c.plugin}
	if said, _ := parse(path, text); len(said) == 0 {
		fmt.Fprintf(&block, "version = %d\n", c.version)
	}
	tables := c.entries(runtimes)
	like := c.path
	if source != nil {
		like = source.path
		again, _ := parse(source.path, source.text) // not to be changed under others
		copied := lookup(again, "plugins", c.plugin)
		block.WriteString("# containerd 1 takes the whole of this plugin's settings from the last file that has any: these are copies.\n" +
			"# After a change of the others, `rtshield install containerd` makes them anew.\n")
		overlay(copied, map[string]any{"containerd": map[string]any{"runtimes": tables}}, math.MaxInt)
		section(&block, at, copied)
	} else {
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			section(&block, append(slices.Clone(at), "containerd", "runtimes", name), tables[name].(map[string]any))
		}
	}
	fresh := addBlock(text, block.String())
	if _, err := parse(path, fresh); err != nil {
		return edit{}, fmt.Errorf("no section can be added at the end, as the tables above it are written inline: %w", err)
	}
	return edit{path: path, text: fresh, like: like}, c.allowed(path)
}

// allowed refuses to edit what another program writes anew at each of its starts: k3s and RKE2, k0s.
func (c containerd) allowed(path string) error {
	text, _, err := c.files.read(path)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if low := strings.ToLower(line); strings.Contains(low, "do not edit") || strings.Contains(low, "k0s_managed=true") {
			return fmt.Errorf("%s says %q: name the file that it is made from with --config (k3s: config.toml.tmpl beside it, config-v3.toml.tmpl for containerd 2)",
				path, strings.TrimSpace(line))
		}
	}
	return err
}

// place says where the runtimes go, and with a copy of which file's section. A drop-in is best. But before version 3 of the
// format containerd may be 1.x, which does not put sections of a plugin together: what the last file with one says is all
// that counts. There a drop-in has to repeat it, and has to be the last.
func (c containerd) place() (path string, copied *source) {
	last := -1
	for i, s := range c.sources {
		if lookup(s.table, "plugins", c.plugin) != nil {
			last = i
		}
	}
	dropins := c.dropins
	if i := slices.IndexFunc(dropins, func(path string) bool { return len(missing(path)) == 0 }); i > 0 {
		dropins = dropins[i:] // a directory that is there is the better one
	}
	for _, dropin := range dropins {
		switch at := slices.IndexFunc(c.sources, func(s source) bool { return s.path == dropin }); {
		case c.version > 2 || last < 0 || at == last:
			return dropin, nil
		case at > last:
			return dropin, &c.sources[last]
		}
	}
	if c.version > 2 || last < 0 {
		return c.path, nil
	}
	return c.sources[last].path, nil
}

// entries are the tables of the runtimes.
func (c containerd) entries(runtimes []Runtime) map[string]any {
	section := lookup(c.merged(), "containerd")
	have := lookup(section, "runtimes")
	usual, _ := section["default_runtime_name"].(string)
	if usual == "" {
		usual = "runc"
	}
	tables := map[string]any{}
	if have[usual] == nil && usual == "runc" && c.version == 2 {
		// containerd 1.x forgets the one that it has built in when the file names any other.
		tables["runc"] = map[string]any{"runtime_type": shim}
	}
	for _, r := range runtimes {
		tables[r.Name] = inherit(have, usual, r.Program)
	}
	return tables
}

const shim = "io.containerd.runc.v2"

// inherit is a runtime with what the usual one has, SystemdCgroup above all: with another cgroup driver than the kubelet's
// pods are killed.
func inherit(have map[string]any, usual, program string) map[string]any {
	table := map[string]any{"runtime_type": shim}
	for _, name := range []string{usual, "runc", "crun"} {
		if from := lookup(have, name); from != nil && from["runtime_type"] == shim {
			maps.Copy(table, said(from))
			break
		}
	}
	delete(table, "runtime_engine") // another word for the program
	for _, key := range []string{"pod_annotations", "container_annotations"} {
		list, _ := table[key].([]any)
		list = slices.Clone(list)
		for _, pattern := range []string{"rtshield.io/*", "*.rtshield.io/*"} {
			if !slices.Contains(list, any(pattern)) {
				list = append(list, pattern)
			}
		}
		table[key] = list
	}
	options := said(lookup(table, "options"))
	options["BinaryName"] = program
	table["options"] = options
	return table
}

// said is a table without the many keys that `containerd config default` prints with nothing in them.
func said(table map[string]any) map[string]any {
	kept := map[string]any{}
	for key, value := range table {
		list, isList := value.([]any)
		if value != "" && value != int64(0) && (!isList || len(list) > 0) {
			kept[key] = value
		}
	}
	return kept
}
