package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/sjson"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/terminal"
	"github.com/rtshield/rtshield/runtime"
)

// docs/coming-from.md is carried out: what a row says in its second column is asked for on the machine that the page names, and
// explain has to print what stands in the third.

const comingFrom = "../../docs/coming-from.md"

// line is one of a table: a word of another world, what it is here, and what one gets.
type line struct {
	number            int
	world             string
	there, here, gets string
}

func readLines(t *testing.T) (lines []line) {
	t.Helper()
	text, err := os.ReadFile(comingFrom)
	if err != nil {
		t.Fatal(err)
	}
	world, inside := "", false
	for i, text := range strings.Split(string(text), "\n") {
		if title, found := strings.CutPrefix(text, "## "); found {
			world = title
		}
		cells := strings.Split(text, "|")
		switch {
		case len(cells) != 5:
			if inside = false; strings.HasPrefix(text, "|") {
				t.Errorf("%s:%d has %d columns", comingFrom, i+1, len(cells)-2)
			}
		case strings.TrimSpace(cells[2]) == "rtshield":
			inside = true
		case inside && !strings.HasPrefix(cells[1], "---"):
			lines = append(lines, line{i + 1, world, strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])})
		}
	}
	return lines
}

var code = regexp.MustCompile("`([^`]+)`")

// spans gives what stands in a cell as code.
func spans(cell string) (all []string) {
	for _, match := range code.FindAllStringSubmatch(cell, -1) {
		all = append(all, match[1])
	}
	return all
}

// wish is what a container and the policy file of its host say.
type wish struct {
	annotations map[string]string
	// policy has the lines of the policy file by their table; those of "class" are for the container's.
	policy map[string][]string
	// config is what the engine has written into config.json, as path and JSON.
	config map[string]string
	// link is the class in the name that the engine calls.
	link string
	// ordinary: it names no class.
	ordinary bool
}

var (
	anAnnotation = regexp.MustCompile(`^([a-z-]*\.?rtshield\.io/[a-z-]+): "(.*)"$`)
	aTable       = regexp.MustCompile(`^\[([a-z]+)\] ([a-z_]+ = .+)$`)
	anOption     = regexp.MustCompile(`^[a-z0-9_]+ = .+$`)
	ofEngine     = regexp.MustCompile(`^((?:linux|process)\.[A-Za-z.]+): (.+)$`)
	aName        = regexp.MustCompile(`^rtshield-([a-z]+)$`)
)

// wishOf reads a cell. strange are those of its code that are no word of rtshield, nor of config.json.
func wishOf(cell string) (w wish, strange []string) {
	w = wish{annotations: map[string]string{}, policy: map[string][]string{}, config: map[string]string{}, ordinary: strings.Contains(cell, "no class")}
	for _, span := range spans(cell) {
		if match := anAnnotation.FindStringSubmatch(span); match != nil {
			w.annotations[match[1]] = match[2]
		} else if match := aTable.FindStringSubmatch(span); match != nil {
			w.policy[match[1]] = append(w.policy[match[1]], match[2])
		} else if anOption.MatchString(span) {
			w.policy["class"] = append(w.policy["class"], span)
		} else if match := ofEngine.FindStringSubmatch(span); match != nil {
			w.config[match[1]] = match[2]
		} else if match := aName.FindStringSubmatch(span); match != nil {
			w.link = match[1]
		} else {
			strange = append(strange, span)
		}
	}
	return w, strange
}

const classKey = "rtshield.io/class"

// class is that of the container, fifo where the row does not name one.
func (w wish) class() string {
	switch {
	case w.ordinary:
		return ""
	case w.link != "":
		return w.link
	case w.annotations[classKey] != "":
		return w.annotations[classKey]
	}
	return "fifo"
}

// lesser are the same container with one word less, each in turn. Without a class it is an ordinary one.
func (w wish) lesser() (all []wish) {
	for key := range w.annotations {
		less := w.clone()
		delete(less.annotations, key)
		less.ordinary = w.ordinary || key == classKey && len(w.annotations)+len(w.policy) == 1
		all = append(all, less)
	}
	for table, lines := range w.policy {
		for i := range lines {
			less := w.clone()
			less.policy[table] = slices.Delete(slices.Clone(lines), i, i+1)
			all = append(all, less)
		}
	}
	if w.link != "" {
		less := w.clone()
		less.link, less.ordinary = "", true
		all = append(all, less)
	}
	return all
}

func (w wish) clone() wish {
	w.annotations, w.policy = maps.Clone(w.annotations), maps.Clone(w.policy)
	return w
}

// explainer is where the lines are carried out.
type explainer struct {
	root     host.Root
	delegate string
}

// explain is what explain says to a wish, as text and as JSON.
func (e explainer) explain(t *testing.T, w wish) (string, error) {
	t.Helper()
	dir := t.TempDir()
	annotations := maps.Clone(w.annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["io.kubernetes.cri.container-name"] = "app"
	if class := w.class(); class != "" && w.link == "" {
		annotations[classKey] = class
	}
	document := `{"ociVersion":"1.2.0","process":{"args":["/app"],"cwd":"/"},"mounts":[{"destination":"/dev","type":"tmpfs","source":"tmpfs"}],"linux":{"cgroupsPath":"/kubepods/app"}}`
	document, err := sjson.Set(document, "annotations", annotations)
	if err != nil {
		t.Fatal(err)
	}
	for path, value := range w.config {
		if document, err = sjson.SetRaw(document, path, value); err != nil {
			t.Fatal(err)
		}
	}
	policy := fmt.Sprintf("[runtime]\ndelegates = [%q]\nstate = %q\n%s\n", e.delegate, filepath.Join(dir, "state"), strings.Join(w.policy["runtime"], "\n"))
	for table, lines := range w.policy {
		if table == "class" {
			table += "." + w.class()
		}
		if table != "runtime" {
			policy += "[" + table + "]\n" + strings.Join(lines, "\n") + "\n"
		}
	}
	put(t, filepath.Join(dir, "config.json"), document)
	file := filepath.Join(dir, "config.toml")
	put(t, file, policy)
	t.Setenv("RTSHIELD_CONFIG", file)
	explanation, err := runtime.Explain(e.root, dir, "", "app", w.link)
	if err != nil {
		return "", err
	}
	explanation.Why = nil // tells of every word where it is from, also of one that changes nothing
	var out strings.Builder
	printExplanation(terminal.To(&out), explanation)
	err = printJSON(&out, explanation)
	return strings.ReplaceAll(out.String(), dir, "DIR"), err
}

// try carries out one line, and gives what is wrong with it. shown: it has an example.
func (e explainer) try(t *testing.T, l line) (shown bool, wrong error) {
	if len(spans(l.there)) == 0 {
		return false, errors.New("names no word of that world")
	}
	if strings.HasPrefix(l.here, "no word") {
		return false, e.tryWithout(t, l)
	}
	asked, strange := wishOf(l.here)
	promised, nothing := spans(l.gets), strings.Contains(l.gets, "explain prints nothing")
	switch {
	case len(strange) > 0:
		return false, fmt.Errorf("%q is no word of rtshield", strange)
	case len(spans(l.here)) == 0 && !asked.ordinary || len(promised) == 0 && !nothing:
		return false, errors.New("has no example")
	}
	said, err := e.explain(t, asked)
	refused := strings.HasPrefix(l.gets, "refused: ")
	switch {
	case refused && err == nil:
		return true, errors.New("is not refused")
	case refused:
		said = err.Error()
	case err != nil:
		return true, fmt.Errorf("is refused: %w", err)
	}
	if i := slices.IndexFunc(promised, lacks(said)); i >= 0 {
		return true, fmt.Errorf("not %q, but:\n%s", promised[i], said)
	}
	// Each word counts, unless it is the default, or nothing is printed of it.
	same := nothing || strings.Contains(l.gets, "the default")
	for _, less := range asked.lesser() {
		bare, err := e.explain(t, less)
		switch changed := (err != nil) != refused || err == nil && slices.ContainsFunc(promised, lacks(bare)); {
		case nothing && bare != said:
			return true, fmt.Errorf("explain prints something of it:\n%s", said)
		case same && changed:
			return true, fmt.Errorf("is not the default: %v\n%s", err, bare)
		case !same && !changed:
			return true, fmt.Errorf("is the same with less: %v, %v", less.annotations, less.policy)
		}
	}
	return true, nil
}

// lacks says of words whether a text is without them.
func lacks(text string) func(string) bool {
	return func(words string) bool { return !strings.Contains(text, words) }
}

// tryWithout is try for a line that has no word, but may say what to use instead.
func (e explainer) tryWithout(t *testing.T, l line) error {
	if l.here != "no word" || len(strings.Fields(l.gets)) < 4 {
		return errors.New("does not say why there is no word, and what to do without")
	}
	instead, _ := wishOf(l.gets)
	if len(instead.annotations)+len(instead.policy) == 0 {
		return nil
	}
	if _, err := e.explain(t, instead); err != nil {
		return fmt.Errorf("what it says to use instead is refused: %w", err)
	}
	return nil
}

func TestWhatThePageForNewcomersSaysIsSo(t *testing.T) {
	e := explainer{pageMachine(t), filepath.Join(t.TempDir(), "runc")}
	put(t, e.delegate, "#!/bin/sh\necho runc version 1.4.0")
	if err := os.Chmod(e.delegate, 0o755); err != nil {
		t.Fatal(err)
	}
	examples := map[string]int{}
	for _, l := range readLines(t) {
		shown, err := e.try(t, l)
		if shown {
			examples[l.world]++
		}
		if err != nil {
			t.Errorf("%s:%d, %s: %v", comingFrom, l.number, l.there, err)
		}
	}
	for _, world := range []string{"OpenStack Nova", "libvirt", "kubelet", "Kata Containers", "CRI-O"} {
		if examples[world] < 10 {
			t.Errorf("%s has %d examples under %q", comingFrom, examples[world], world)
		}
	}
}
