// Package promise reads back what a grant promises of its container itself: its CPUs and memory nodes, its memory, the policy
// of its first thread. The hooks do so at the start, verify at any time.
package promise

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Reading is what one place says a container has, and what it was promised.
type Reading struct {
	// Where names the place for people, File is it where it can be written.
	Where, File string
	Now, Want   string
	// Help is what helps where there is no such file.
	Help string
	// Err says why it cannot be read.
	Err error
}

// Kept says whether the container has what it was promised.
func (r Reading) Kept() bool { return r.Err == nil && r.Now == r.Want }

// CPUs reads where a container's CPUs are said: its cpuset, what the kernel makes of that, and its first process, unless a
// thread rule is for that.
func CPUs(root host.Root, pid int, grant shield.Grant) []Reading {
	readings := Cpuset(root, grant)
	if Ruled(root, pid, grant) {
		return readings
	}
	first := ofSet(fmt.Sprintf("Cpus_allowed_list of pid %d", pid), grant.Home(), func() (cpuset.CPUSet, error) { return root.AllowedCPUs(pid) })
	return append(readings, first)
}

// Ruled says whether a container's program runs and its first thread is the watcher's: a rule has its name.
func Ruled(root host.Root, pid int, grant shield.Grant) bool {
	if len(grant.Threads) == 0 {
		return false
	}
	stat, err := task.Read(root, pid)
	return err == nil && stat.Comm != grant.Starting && grant.Rule(stat.Comm) != nil
}

// Cpuset reads a container's cpuset, and what the kernel makes of it. A host without that controller has none.
func Cpuset(root host.Root, grant shield.Grant) []Reading {
	if grant.Pinned {
		return nil
	}
	dir := grant.Cgroups.Cpuset
	asked := ofSet("cpuset.cpus of "+dir, grant.Cpuset(), func() (cpuset.CPUSet, error) { return hostcpuset.CPUs(root, dir) })
	asked.File = filepath.Join(dir, "cpuset.cpus")
	effective := ofSet("the effective cpuset of "+dir, grant.Cpuset(), func() (cpuset.CPUSet, error) { return hostcpuset.Effective(root, dir) })
	effective.Help = "see what the cgroups above it have, and whether the CPU is online"
	return []Reading{asked, effective}
}

// Nodes reads a container's memory nodes. ok is false where it has no cpuset to say them.
func Nodes(root host.Root, grant shield.Grant) (reading Reading, ok bool) {
	if grant.Pinned || grant.Mems.IsEmpty() {
		return Reading{}, false
	}
	dir := grant.Cgroups.Cpuset
	reading = ofSet("cpuset.mems of "+dir, grant.Mems, func() (cpuset.CPUSet, error) { return root.ReadList(dir, "cpuset.mems") })
	reading.File = filepath.Join(dir, "cpuset.mems")
	return reading, true
}

func ofSet(where string, want shield.CPUs, read func() (cpuset.CPUSet, error)) Reading {
	now, err := read()
	return Reading{Where: where, Now: now.String(), Want: want.String(), Err: err}
}

// anew: a process alone can change this of itself.
const anew = "only its program can change that: restart it"

// THP reads whether a process is kept from transparent huge pages, as the class says never. ok is false where it does not.
func THP(root host.Root, pid int, grant shield.Grant) (reading Reading, ok bool) {
	if grant.Memory.THP != shield.Never {
		return Reading{}, false
	}
	now, err := root.StatusField(pid, "THP_enabled")
	return Reading{Where: "THP_enabled of pid " + strconv.Itoa(pid), Now: now, Want: "0", Help: anew, Err: err}, true
}

// KSM reads whether a process's memory is kept from being merged with that of others, where the engine would have had it merged. ok
// is false where that was not promised.
func KSM(root host.Root, pid int, grant shield.Grant) (reading Reading, ok bool) {
	if grant.Memory.KSM != string(shield.Off) {
		return Reading{}, false
	}
	reading = Reading{Where: "ksm_merge_any of pid " + strconv.Itoa(pid), Now: "no", Want: "no", Help: anew}
	if root.KSMMerges(pid) {
		reading.Now = "yes"
	}
	return reading, true
}

// Swap reads the file that keeps a container from swap. ok is false where nothing was promised.
func Swap(root host.Root, pid int, grant shield.Grant) (reading Reading, ok bool) {
	if grant.Memory.Swap == "" {
		return Reading{}, false
	}
	reading = Reading{Where: grant.Memory.Swap, Want: "0"}
	place, found, err := root.Controller(pid, "memory")
	if err == nil && !found {
		err = fs.ErrNotExist
	}
	if reading.Err = err; err == nil {
		reading.Where = grant.Memory.Swap + " of " + place.Dir
		reading.File = filepath.Join(place.Dir, grant.Memory.Swap)
		reading.Now, reading.Err = root.Read(reading.File)
	}
	return reading, true
}

// Policy reads the policy of a container's first thread. What a thread rule gives it is the watcher's to compare.
func Policy(root host.Root, pid int, grant shield.Grant) (now, want sched.Attr, err error) {
	if now, err = sched.Get(pid); Ruled(root, pid, grant) {
		return now, now, nil
	}
	return now, Attr(grant), err
}

// SetPolicy gives a container's first thread its policy.
func SetPolicy(pid int, grant shield.Grant) error {
	err := sched.Set(pid, Attr(grant))
	// DEADLINE is judged by the root domain of the CPU that the thread slept on last, which may be outside of the new
	// partition (seen on 6.12): waking it brings it in. SIGURG does that, and nothing else: Go's runtime uses it to
	// interrupt its own threads, and other programs ignore it.
	for try := 0; grant.Policy == shield.Deadline && grant.Partition == shield.Root && errors.Is(err, unix.EPERM) && try < 10; try++ {
		if unix.Tgkill(pid, pid, unix.SIGURG) != nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
		err = sched.Set(pid, Attr(grant))
	}
	return err
}

// Attr is a grant's policy in the kernel's terms.
func Attr(grant shield.Grant) sched.Attr {
	result := sched.Attr{Policy: reconcile.Policies[grant.Policy], Priority: uint32(grant.Priority)}
	switch {
	case grant.Policy == shield.Deadline:
		// Without it the runtime's init could not make another thread: fork of a DEADLINE thread gives EAGAIN.
		result.ResetOnFork = true
		result.Runtime, result.Deadline, result.Period = grant.Deadline.Runtime, grant.Deadline.Deadline, grant.Deadline.Period
	case !grant.Policy.RealTime():
		result.Nice = int32(grant.Nice)
	}
	return result
}

// Places reads in which cgroups a container's first process is: its own, or below it in ones that it has made itself.
func Places(root host.Root, pid int, grant shield.Grant) []Reading {
	cpu := grant.Cgroups.CPU
	if chain := grant.Cgroups.Budgets; len(chain) > 0 {
		cpu = chain[len(chain)-1]
	}
	readings := []Reading{inCgroup(grant.Cgroups.Cpuset, pid, func() (host.Controller, bool, error) { return root.Cgroup(pid) })}
	if cpu != "" && cpu != grant.Cgroups.Cpuset {
		readings = append(readings, inCgroup(cpu, pid, func() (host.Controller, bool, error) { return root.Controller(pid, "cpu") }))
	}
	return readings
}

func inCgroup(want string, pid int, find func() (host.Controller, bool, error)) Reading {
	place, found, err := find()
	if err == nil && !found {
		err = errors.New("this host has no such cgroup controller")
	}
	reading := Reading{Where: "the cgroup of pid " + strconv.Itoa(pid), File: filepath.Join(want, "cgroup.procs"), Now: place.Dir, Want: want, Err: err}
	if strings.HasPrefix(place.Dir, want+"/") {
		reading.Now = want
	}
	return reading
}

// Bound reads whether a container's memory is bound to its nodes. ok is false where that was not promised.
func Bound(root host.Root, pid int, grant shield.Grant) (reading Reading, ok bool) {
	if grant.Memory.Policy != shield.Bind {
		return Reading{}, false
	}
	text, err := root.ReadOnce("proc", strconv.Itoa(pid), "numa_maps") // each line has the policy, which all but few share
	fields := append(strings.Fields(text), "", "")
	return Reading{Where: "the memory policy of pid " + strconv.Itoa(pid), Now: fields[1], Want: "bind:" + grant.Mems.String(), Help: anew, Err: err}, true
}
