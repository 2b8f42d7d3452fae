package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// dropin is the configuration of CRI-O and of Podman: a file, and a directory whose files are read after it, in the order
// of their names.
type dropin struct {
	config     string
	file, text string         // ours in that directory
	all        map[string]any // what all files say
	table      []string       // where the runtimes stand
	write      func(out *strings.Builder, all map[string]any, runtimes []Runtime)
}

const dropinName = "99-rtshield.conf"

var podmanTable, crioTable = []string{"engine", "runtimes"}, []string{"crio", "runtime", "runtimes"}

func podmanRuntimes(all map[string]any) map[string]string {
	return programs(lookup(all, podmanTable...))
}
func crioRuntimes(all map[string]any) map[string]string { return programs(lookup(all, crioTable...)) }

// newDropin reads what ends in suffix. A table at depth is not put together: the last file that has it counts.
func newDropin(files *tree, d dropin, suffix string, depth int) (editor, error) {
	dir := d.config + ".d"
	d.file, d.all = filepath.Join(dir, dropinName), map[string]any{}
	paths := []string{d.config}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), suffix) && !entry.IsDir() {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	for _, path := range paths {
		text, _, err := files.read(path)
		if err != nil {
			return nil, err
		}
		said, err := parse(path, text)
		if err != nil {
			return nil, err
		}
		overlay(d.all, said, depth)
	}
	d.text, _, err = files.read(d.file)
	return d, err
}

func (d dropin) known() map[string]string { return programs(lookup(d.all, d.table...)) }

func (d dropin) insert(runtimes []Runtime) (edit, error) {
	var block strings.Builder
	d.write(&block, d.all, runtimes)
	text := addBlock(d.text, block.String())
	_, err := parse(d.file, text)
	return edit{path: d.file, text: text, like: d.config}, err
}

// newPodman: containers.conf(5). The program of a runtime is the first of a list that is there.
func newPodman(files *tree, config string) (editor, error) {
	d := dropin{config: config, table: podmanTable}
	d.write = func(out *strings.Builder, _ map[string]any, runtimes []Runtime) {
		table := map[string]any{}
		for _, r := range runtimes {
			table[r.Name] = []string{r.Program}
		}
		section(out, d.table, table)
	}
	return newDropin(files, d, ".conf", 3)
}

// newCRIO: crio.conf.d(5). CRI-O reads every file of the directory, whatever its name.
//
// CRI-O gives a runtime all annotations of a pod but those of its own that allowed_annotations does not name, and drops a
// runtime for which that names any other ("invalid allowed_annotation", 1.26 and later): rtshield.io/* needs nothing there,
// and must not stand there.
func newCRIO(files *tree, config string) (editor, error) {
	d := dropin{config: config, table: crioTable}
	d.write = func(out *strings.Builder, all map[string]any, runtimes []Runtime) {
		for _, r := range runtimes {
			table := inheritCRIO(lookup(all, "crio", "runtime"))
			table["runtime_path"] = r.Program
			section(out, append(d.table[:len(d.table):len(d.table)], r.Name), table)
		}
	}
	return newDropin(files, d, "", 4)
}

// inheritCRIO is what the default runtime has beside its program: monitor_path above all, without which CRI-O looks for
// conmon in PATH, and its own packages have it elsewhere.
func inheritCRIO(crio map[string]any) map[string]any {
	inherited := map[string]any{"runtime_type": "oci"}
	first, _ := crio["default_runtime"].(string)
	for _, name := range []string{first, "crun", "runc"} {
		table := lookup(crio, "runtimes", name)
		if kind, _ := table["runtime_type"].(string); len(table) > 0 && kind != "vm" {
			maps.Copy(inherited, table)
			break
		}
	}
	for _, key := range []string{"runtime_config_path", "platform_runtime_paths", "inherit_default_runtime"} {
		delete(inherited, key)
	}
	return inherited
}

// overlay puts what a later file says over what those before it said: tables come together as far as depth.
func overlay(into, from map[string]any, depth int) {
	for key, value := range from {
		have, _ := into[key].(map[string]any)
		more, _ := value.(map[string]any)
		if have != nil && more != nil && depth > 1 {
			overlay(have, more, depth-1)
		} else {
			into[key] = value
		}
	}
}

// programs are those of the runtimes of a table.
func programs(runtimes map[string]any) map[string]string {
	found := map[string]string{}
	for name, value := range runtimes {
		found[name] = program(value)
	}
	return found
}

// program is that of one runtime: Podman's list, CRI-O's runtime_path, containerd's BinaryName.
func program(runtime any) string {
	var path any
	switch runtime := runtime.(type) {
	case []any:
		if len(runtime) > 0 {
			path = runtime[0]
		}
	case map[string]any:
		if path = runtime["runtime_path"]; path == nil || path == "" {
			path = lookup(runtime, "options")["BinaryName"]
		}
	}
	if path == nil {
		return ""
	}
	return fmt.Sprint(path)
}
