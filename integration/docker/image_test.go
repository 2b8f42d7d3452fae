package docker_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// The images: img, and one whose maker would like to be shielded.
const (
	img    = "img"
	asking = "asking"
)

// loop is a program that does nothing until it is told to stop. A shell as process 1 has to catch SIGTERM for that.
const loop = "/bin/loop"

const loopScript = `#!/bin/sh
trap 'exit 0' TERM
echo ready
sleep 1000 &
wait
`

var applets = []string{"sh", "cat", "cut", "echo", "env", "grep", "sleep", "stty", "tail", "true"}

func (d *daemon) makeImages() error {
	tree, err := imageTree()
	if err != nil {
		return err
	}
	for image, changes := range map[string][]string{
		img: nil,
		asking: {
			"ENV RTSHIELD_CLASS=fifo", "ENV RTSHIELD_CPUS=0-99", "LABEL rtshield.io/class=fifo",
		},
	} {
		args := []string{"import"}
		for _, change := range changes {
			args = append(args, "--change", change)
		}
		if _, err := d.cliWith(bytes.NewReader(tree), append(args, "-", image)...).succeeded(); err != nil {
			return err
		}
	}
	// The first container makes the cgroups above all containers, and the daemon's files: the tests compare with the
	// host as it is from here on.
	_, err = d.cli("run", "--rm", "--net=none", "--runtime=runc", img, "true").succeeded()
	return err
}

func imageTree() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: install busybox-static (make setup)", err)
	}
	have, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range map[string]string{"/bin/busybox": string(busybox), loop: loopScript} {
		if err := w.WriteHeader(&tar.Header{Name: name[1:], Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return nil, err
		}
	}
	for _, applet := range applets {
		if !bytes.Contains(have, []byte("\n"+applet+"\n")) {
			return nil, fmt.Errorf("%s has no %s: install busybox-static (make setup)", path, applet)
		}
		link := &tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}
		if err := w.WriteHeader(link); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}
