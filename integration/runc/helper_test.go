package runc_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

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

// asNobody runs rtshield as a user who may do nothing, and gives all that it says, with its exit status.
func asNobody(r *rig.Rig, args ...string) (text string, code int) {
	r.Helper()
	program := filepath.Join(r.Dir, "rtshield") // where others can run it
	data, err := os.ReadFile(r.Rtshield)
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		r.Fatal(err)
	}
	cmd := r.Command(context.Background(), program, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}
