// Package engine puts rtshield into the configuration of container engines, and takes it out again. What is to be done is
// decided on texts in memory and shown or carried out after that; the engine's own words, their order and their comments
// are left as they are.
package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Runtime is one entry in an engine's configuration: its name, and the program that it stands for.
type Runtime struct {
	Name    string `json:"name"`
	Program string `json:"program"`
	// Link is what Program is a link to, where it is one that install makes.
	Link string `json:"link,omitempty"`
}

// Engine is one whose configuration rtshield knows.
type Engine struct {
	Name string
	// Config is the engine's own configuration file.
	Config string
	// Unit is its service, "" if it has none, and Load the verb of systemctl that makes it read the file.
	Unit, Load string
	// Remembers says what it keeps of runtimes that its file has no more, although it has read it.
	Remembers string
	// Program is the one that reads it.
	Program string
	editor  func(files *tree, config string) (editor, error)
	format  format
}

// editor knows one engine's configuration, read from files.
type editor interface {
	// known are the runtimes that the configuration names, and their programs.
	known() map[string]string
	// insert says which file has to be edited for these runtimes, and how it then reads.
	insert(runtimes []Runtime) (edit, error)
}

// format knows what an editor has put into a file from that file's text alone: whatever has become of the rest.
type format interface {
	// strip takes it out of a text that somebody may have edited since.
	strip(text string, done *record) (string, error)
	// ours is that part of the text, to be compared.
	ours(text string, done *record) string
	// bare says whether a file that insert made has nothing in it but what insert would need for itself.
	bare(text string) bool
}

// edit is how a file shall read.
type edit struct {
	path, text string
	// was is what the entries were put into, where that was empty.
	was string
	// like is the file whose owner and mode a new one gets: what it repeats may have passwords in it.
	like string
}

var engines = []Engine{
	{Name: "docker", Config: "/etc/docker/daemon.json", Program: "dockerd", Unit: "docker", Load: "reload",
		// Seen with 26.1: a reload takes the file's runtimes for its own, and does nothing where there are none.
		Remembers: "dockerd keeps the names until its next start, unless its file names other runtimes", editor: newDocker, format: docker{}},
	{Name: "containerd", Config: "/etc/containerd/config.toml", Program: "containerd", Unit: "containerd", Load: "restart", editor: newContainerd, format: blocks{containerdRuntimes}},
	// CRI-O reads its runtimes anew on reload too, but only from 1.26 on.
	{Name: "crio", Config: "/etc/crio/crio.conf", Program: "crio", Unit: "crio", Load: "restart", editor: newCRIO, format: blocks{crioRuntimes}},
	{Name: "podman", Config: "/etc/containers/containers.conf", Program: "podman", editor: newPodman, format: blocks{podmanRuntimes}},
}

// Engines are all that there are.
func Engines() []Engine { return slices.Clone(engines) }

// Names lists them for people.
func Names() string {
	var names []string
	for _, engine := range engines {
		names = append(names, engine.Name)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// Install plans how the runtimes come into the configuration. What an earlier install put there stays, in its present form.
func (e Engine) Install(config string, runtimes []Runtime) (*Plan, error) {
	plan, err := e.plan(config)
	if err != nil {
		return nil, err
	}
	var have []Runtime
	if plan.before != nil {
		have = plan.before.Runtimes
	}
	runtimes = union(have, runtimes)
	editor, err := e.editor(plan.files, config)
	if err != nil {
		return nil, err
	}
	absent, err := without(editor.known(), runtimes, config)
	if err != nil {
		return nil, err
	}
	if len(absent) == 0 {
		return plan, nil // somebody has configured it by hand
	}
	edit, err := editor.insert(absent)
	if err != nil {
		return nil, err
	}
	if err := plan.enter(edit, absent); err != nil {
		return nil, err
	}
	return plan, plan.link(absent)
}

// Runtimes are those that the configuration names, with their programs, whoever has put them there. ErrNoCRI if the engine
// would read none.
func (e Engine) Runtimes(config string) (map[string]string, error) {
	editor, err := e.editor(newTree(), config)
	if err != nil {
		return nil, err
	}
	return editor.known(), nil
}

// Uninstall plans how what Install has put into the configuration is taken out. A file that nobody has edited since gets
// back every byte; one that was loses our part only.
func (e Engine) Uninstall(config string) (*Plan, error) { return e.plan(config) }

// plan starts with the configuration as it is without us.
func (e Engine) plan(config string) (*Plan, error) {
	before, err := readRecord(config)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Engine: e, Config: config, files: newTree(), before: before}
	if before != nil {
		err = e.withdraw(plan.files, config, before)
	}
	return plan, err
}

// withdraw takes what is on record out of its file.
func (e Engine) withdraw(files *tree, config string, done *record) error {
	text, exists, err := files.read(done.File)
	if err != nil || !exists {
		return err
	}
	if sum(text) == done.After {
		if !done.Existed {
			files.remove(done.File)
			return nil
		}
		backup, exists, err := files.read(done.Backup)
		if err != nil {
			return err
		}
		if exists && sum(backup) == done.Before {
			files.write(done.File, backup)
			return nil
		}
	}
	if text, err = e.format.strip(text, done); err != nil {
		return fmt.Errorf("%w: take %s out by hand, and remove %s", err, strings.Join(done.names(), ", "), recordPath(config))
	}
	if !done.Existed && e.format.bare(text) {
		files.remove(done.File)
		return nil
	}
	files.write(done.File, text)
	return nil
}

// union adds runtimes to those that there are. One that is there already is what is asked for now.
func union(have, more []Runtime) []Runtime {
	have = slices.Clone(have)
	for _, r := range more {
		if i := slices.IndexFunc(have, func(old Runtime) bool { return r.Name == old.Name }); i >= 0 {
			have[i] = r
		} else {
			have = append(have, r)
		}
	}
	return have
}

// without are the runtimes that the configuration does not name yet. A name that stands for another program is not taken
// from it.
func without(known map[string]string, wanted []Runtime, config string) (absent []Runtime, err error) {
	for _, r := range wanted {
		program, taken := known[r.Name]
		switch {
		case !taken:
			absent = append(absent, r)
		case program != r.Program:
			if program == "" {
				program = "another runtime"
			}
			return nil, fmt.Errorf("the name %s is taken: %s has it for %s; choose another with --name", r.Name, config, program)
		}
	}
	return absent, nil
}
