package node

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// users are the containers whose engine will call a program of ours to end them, by their ids. containerd notes that for its
// shim beside each bundle; CRI-O's conmon has it on its command line.
func (n Node) users() (ids []string) {
	program := []byte(n.program("rtshield")) // and rtshield-fifo
	for _, state := range []string{"run/containerd", "run/k3s/containerd"} {
		bundles, _ := filepath.Glob(n.path(state + "/io.containerd.runtime.v2.task/*/*"))
		for _, bundle := range bundles {
			for _, note := range []string{"options.json", "runtime"} { // the latter before containerd 1.7
				if text, err := os.ReadFile(filepath.Join(bundle, note)); err == nil && bytes.Contains(text, program) {
					ids = append(ids, filepath.Base(bundle))
					break
				}
			}
		}
	}
	commands, _ := filepath.Glob(n.path("proc/[0-9]*/cmdline"))
	for _, command := range commands {
		text, err := os.ReadFile(command)
		words := strings.Split(string(text), "\x00")
		if err == nil && filepath.Base(words[0]) == "conmon" && bytes.Contains(text, program) {
			ids = append(ids, value(words, "-c", "--cid"))
		}
	}
	slices.Sort(ids)
	return ids
}

// value is the word behind one of the flags.
func value(words []string, flags ...string) string {
	for i, word := range words[:len(words)-1] {
		if slices.Contains(flags, word) {
			return words[i+1]
		}
	}
	return "?"
}
