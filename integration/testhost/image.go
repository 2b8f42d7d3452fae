package testhost

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
)

// Image is the one that there is, for containers and as the sandbox's. "localhost" keeps engines from asking a registry for it.
const Image = "localhost/busybox:test"

// Rest is a program in the image that does nothing until it is told to stop.
const Rest = "/bin/rt-rest"

// No name of a task that a machine may have, which would be exempt: see Policy.
const restScript = `#!/bin/sh
trap 'exit 0' TERM
busybox sleep 1000 &
wait
`

// PodImage gives Image as an archive. Files, by their path, are programs in it beside Rest and busybox's applets.
func PodImage(files map[string]string, applets ...string) ([]byte, error) {
	all := map[string]string{Rest: restScript}
	maps.Copy(all, files)
	tree, err := Busybox(all, applets...)
	if err != nil {
		return nil, err
	}
	return Archive(Image, tree, Rest)
}

// Busybox gives the tree of an image as a tar: the host's static busybox under these names, and files, by their path, that
// may be run.
func Busybox(files map[string]string, applets ...string) ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: install busybox-static (make setup)", err)
	}
	have, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tree := newTar()
	tree.add("bin/busybox", program)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		tree.add(name[1:], []byte(files[name]))
	}
	for _, applet := range applets {
		if !bytes.Contains(have, []byte("\n"+applet+"\n")) {
			return nil, fmt.Errorf("%s has no %s: install busybox-static (make setup)", path, applet)
		}
		tree.header(&tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777})
	}
	return tree.end()
}

// Archive wraps a tree into an archive as `docker save` writes it, for `ctr images import` and `podman load`. The command is what it runs
// unless told otherwise.
func Archive(name string, tree []byte, command ...string) ([]byte, error) {
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": command},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(tree))}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	archive := newTar()
	archive.add("layer.tar", tree)
	archive.add("config.json", config)
	archive.add("manifest.json", manifest)
	return archive.end()
}

// archive is a tar in memory. The first error counts.
type archive struct {
	*tar.Writer
	text bytes.Buffer
	err  error
}

func newTar() *archive {
	a := &archive{}
	a.Writer = tar.NewWriter(&a.text)
	return a
}

func (a *archive) header(header *tar.Header) {
	if a.err == nil {
		a.err = a.WriteHeader(header)
	}
}

func (a *archive) add(name string, content []byte) {
	a.header(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))})
	if a.err == nil {
		_, a.err = io.Copy(a, bytes.NewReader(content))
	}
}

func (a *archive) end() ([]byte, error) {
	if err := errors.Join(a.err, a.Close()); err != nil {
		return nil, err
	}
	return a.text.Bytes(), nil
}
