package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// Plan is what Install or Uninstall would do.
type Plan struct {
	Engine Engine
	Config string

	files *tree
	// before is what was done earlier, after what will have been; nil for nothing.
	before, after *record
	// backup is the text that is kept of the file that is edited.
	backup file
	like   string
	links  []Runtime
}

// enter plans the edit of a file. One that would only move what is there already is none.
func (p *Plan) enter(edit edit, runtimes []Runtime) error {
	path, text := edit.path, edit.text
	base, exists, err := p.files.read(path)
	if err != nil {
		return err
	}
	disk, err := p.files.disk(path)
	if err != nil {
		return err
	}
	p.after = &record{File: path, Existed: exists, Was: edit.was, After: sum(text), Runtimes: runtimes, Dirs: missing(path)}
	if p.before != nil {
		p.after.Links = slices.Clone(p.before.Links)
		p.after.Dirs = append(slices.Clone(p.before.Dirs), p.after.Dirs...)
		if p.before.File == path && disk.exists && p.Engine.format.ours(disk.text, p.before) == p.Engine.format.ours(text, p.after) {
			p.files.forget()
			old := *p.before
			old.Runtimes, p.after = runtimes, &old
			return nil
		}
	}
	if exists {
		p.after.Before, p.after.Backup, p.backup = sum(base), backupPath(path), file{base, true}
	}
	p.files.write(path, text)
	p.like = edit.like
	return nil
}

// link plans the links that are not there yet. One that another engine's install has made is of both.
func (p *Plan) link(runtimes []Runtime) error {
	for _, r := range runtimes {
		if r.Link == "" {
			continue
		}
		there, err := os.Stat(r.Program)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(r.Program); err == nil {
				return fmt.Errorf("%s is a link to something that is not there: remove it", r.Program)
			}
			p.links = append(p.links, r)
			p.own(r.Program)
			continue
		}
		if err != nil {
			return err
		}
		program, err := os.Stat(filepath.Join(filepath.Dir(r.Program), r.Link))
		if err != nil {
			return err
		}
		if !os.SameFile(there, program) {
			return fmt.Errorf("%s is there already, and is not %s: move it away", r.Program, r.Link)
		}
		if slices.ContainsFunc(p.others(), func(other *record) bool { return slices.Contains(other.Links, r.Program) }) {
			p.own(r.Program)
		}
	}
	return nil
}

func (p *Plan) own(link string) {
	if !slices.Contains(p.after.Links, link) {
		p.after.Links = append(slices.Clone(p.after.Links), link)
	}
}

// others are the records of the other engines, as far as they are where they read their configuration by default.
func (p *Plan) others() (records []*record) {
	for _, e := range engines {
		if e.Config == p.Config {
			continue
		}
		if other, err := readRecord(e.Config); err == nil && other != nil {
			records = append(records, other)
		}
	}
	return records
}

// Nothing says that there is nothing to do.
func (p *Plan) Nothing() bool {
	return len(p.files.changed()) == 0 && len(p.links) == 0 && reflect.DeepEqual(p.before, p.after)
}

// Known says whether install is on record for this configuration.
func (p *Plan) Known() bool { return p.before != nil }

// Diff writes what would change, as `patch` reads it.
func (p *Plan) Diff(w io.Writer) {
	for _, path := range p.files.changed() {
		was, _ := p.files.disk(path)
		fmt.Fprint(w, diff(path, was, p.files.now[path]))
	}
}

// Steps are what the plan does, for people.
func (p *Plan) Steps() (steps []string) {
	for _, path := range p.files.changed() {
		was, _ := p.files.disk(path)
		switch now := p.files.now[path]; {
		case !was.exists:
			steps = append(steps, "make "+path)
		case !now.exists:
			steps = append(steps, "remove "+path)
		case p.backup.exists:
			steps = append(steps, fmt.Sprintf("edit %s (as it was: %s)", path, p.after.Backup))
		default:
			steps = append(steps, "edit "+path)
		}
	}
	for _, r := range p.links {
		steps = append(steps, fmt.Sprintf("link %s to %s", r.Program, r.Link))
	}
	for _, link := range p.unlinked() {
		steps = append(steps, "remove link "+link)
	}
	return steps
}

// unlinked are the links that go: install made them, and no other engine on record needs them.
func (p *Plan) unlinked() (links []string) {
	if p.before == nil || p.after != nil {
		return nil
	}
	for _, link := range p.before.Links {
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		needed := slices.ContainsFunc(p.others(), func(other *record) bool { return slices.Contains(other.Links, link) })
		if !needed {
			links = append(links, link)
		}
	}
	return links
}

// Apply carries the plan out. The record comes before every change and goes after the last: whenever this is interrupted,
// install can be repeated, or taken back.
func (p *Plan) Apply() error {
	if p.Nothing() {
		return nil
	}
	if p.after == nil {
		return p.undo()
	}
	for _, dir := range p.after.Dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := replace(recordPath(p.Config), p.Config, p.after.text()); err != nil {
		return err
	}
	for _, r := range p.links {
		if err := os.Symlink(r.Link, r.Program); err != nil {
			return err
		}
	}
	if p.backup.exists {
		if err := replace(p.after.Backup, p.after.File, p.backup.text); err != nil {
			return err
		}
	}
	if err := p.write(); err != nil {
		return err
	}
	if p.before != nil && p.before.Backup != p.after.Backup {
		return remove(p.before.Backup)
	}
	return nil
}

func (p *Plan) undo() error {
	if err := p.write(); err != nil {
		return err
	}
	for _, path := range slices.Concat([]string{p.before.Backup}, p.unlinked(), []string{recordPath(p.Config)}) {
		if err := remove(path); err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(p.before.Dirs) {
		_ = os.Remove(dir) // unless somebody has put something there
	}
	return nil
}

// write brings the files to what they shall be.
func (p *Plan) write() error {
	for _, path := range p.files.changed() {
		now, err := load(path)
		if err != nil {
			return err
		}
		if now != p.files.was[path] {
			return fmt.Errorf("%s was changed by somebody else this moment: try again", path)
		}
		if want := p.files.now[path]; !want.exists {
			err = remove(path)
		} else {
			like := path
			if !now.exists {
				like = p.like
			}
			err = replace(path, like, want.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
