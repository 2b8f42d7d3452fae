package docker_test

import (
	"bytes"

	"github.com/rtshield/rtshield/integration/testhost"
)

// The images: img, and one whose maker would like to be shielded.
const (
	img    = "img"
	asking = "asking"
)

// loop is a program that does nothing until it is told to stop. A shell as process 1 has to catch SIGTERM for that.
const loop = "/bin/loop"

// The sleep is called busybox: a machine that happens to run a sleep has that exempt.
const loopScript = `#!/bin/sh
trap 'exit 0' TERM
echo ready
busybox sleep 1000 &
wait
`

var applets = []string{"sh", "cat", "cut", "echo", "env", "grep", "sleep", "stty", "tail", "true"}

func (d *daemon) makeImages() error {
	tree, err := testhost.Busybox(map[string]string{loop: loopScript}, applets...)
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
