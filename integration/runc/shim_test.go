package runc_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// engineCgroup is where the engine of these tests has its processes.
const engineCgroup = "/rtshield-test/engine"

// inEngine starts a shell of its own name in the engine's cgroup, and ends it with the test.
func inEngine(r *rig.Rig, name, commands string) int {
	r.Helper()
	path := filepath.Join(r.Dir, name)
	if err := bundle.CopyProgram(path, rig.Busybox); err != nil {
		r.Fatal(err)
	}
	file := script(r, name+".sh", fmt.Sprintf("echo $$ >%s\n%s\nread -r end\n", rig.Cgroup("cpuset", engineCgroup, "cgroup.procs"), commands))
	shell := &exec.Cmd{Path: path, Args: []string{"sh", file}, Env: append(os.Environ(), r.Env...)}
	end, err := shell.StdinPipe()
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = end.Close() // which ends it
		_ = shell.Wait()
	})
	procs := rig.Cgroup("cpuset", engineCgroup, "cgroup.procs")
	r.Eventual(func() error {
		if text := r.Text(procs); !slices.Contains(strings.Fields(text), strconv.Itoa(shell.Process.Pid)) {
			return fmt.Errorf("%s has %q", procs, text)
		}
		return nil
	})
	return shell.Process.Pid
}

// The engine's process that waits for a container, containerd-shim or conmon, is the parent of the delegate.
func TestTheProcessThatWaitsForAContainerKeepsHouse(t *testing.T) {
	classes := "[class.lax]\npolicy = \"fifo\"\nhelpers = \"leave\"\n"
	for _, c := range []struct {
		name, class string
		// exempt: beside it in its cgroup is a task that is never moved, so that the cgroup keeps its CPUs.
		exempt bool
		want   string
		limit  string
	}{
		{"with its cgroup", "fifo", false, "0", ""},
		{"out of a cgroup that keeps its CPUs", "fifo", true, "0", ""},
		{"not where the class says leave", "lax", true, "0-1", `helpers = "leave"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig.EachWith(t, testhost.Options{Classes: classes, Exempt: []string{"rt-exempt"}}, func(r *rig.Rig) {
				rig.MakeCpuset(r, engineCgroup)
				daemon := 0
				if c.exempt {
					daemon = inEngine(r, "rt-exempt", "")
				}
				r.Track("web")
				done, said, pidFile := filepath.Join(r.Dir, "done"), filepath.Join(r.Dir, "said"), filepath.Join(r.Dir, "pid-web")
				put(r, said, "")
				shim := inEngine(r, "rt-shim", fmt.Sprintf("%s --root %s create --bundle %s --pid-file %s web </dev/null 2>%s\n: >%s",
					r.Rtshield, r.Root, r.Bundle("web", rig.Class(c.class)), pidFile, said, done))
				r.Eventual(func() error {
					if !exists(done) {
						return fmt.Errorf("create has not ended well: %q", r.Text(said))
					}
					return nil
				})
				pid := r.Adopt(pidFile)
				r.Must(r.OCI("start", "web"))
				r.Runs(pid, fifo50.policy, fifo50.priority, shieldCPU)
				if now := r.Allowed(shim); now != c.want {
					r.Errorf("the process that waits may run on CPU %s, want %s", now, c.want)
				}
				if c.exempt && r.Allowed(daemon) != "0-1" {
					r.Errorf("the exempt task beside it may run on CPU %s", r.Allowed(daemon))
				}
				if grant := r.Grant("web"); grant.Helper.PID != shim {
					r.Errorf("the grant's helper is pid %d, want %d", grant.Helper.PID, shim)
				}
				has(r, "status", r.Must(r.Shield("status", "--json")).Stdout, `"helper": `+strconv.Itoa(shim))
				has(r, "status", r.Must(r.Shield("status")).Stdout, c.limit)
				r.Must(r.Shield("reconcile"))
				if now := r.Allowed(shim); now != c.want {
					r.Errorf("after reconcile it may run on CPU %s, want %s", now, c.want)
				}
				r.End("web")
				if now := r.Allowed(shim); now != "0-1" {
					r.Errorf("with the container gone it may run on CPU %s", now)
				}
			})
		})
	}
}
