package runc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func mkdir(r *rig.Rig, dir string) {
	r.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		r.Fatal(err)
	}
}

func put(r *rig.Rig, path, text string) {
	r.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

// script writes a program for the shell.
func script(r *rig.Rig, name, text string) string {
	r.Helper()
	path := filepath.Join(r.Dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\nset -eu\n"+text), 0o755); err != nil {
		r.Fatal(err)
	}
	return path
}

// ended says whether a process is gone.
func ended(pid int) error {
	if exists("/proc/" + strconv.Itoa(pid)) {
		return fmt.Errorf("pid %d still runs", pid)
	}
	return nil
}

// programIs says whether a process has become its program: `start` returns before.
func programIs(pid int, want string) error {
	got, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err == nil && got != want {
		err = fmt.Errorf("pid %d runs %s", pid, got)
	}
	return err
}
