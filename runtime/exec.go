package runtime

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/watch"
	"github.com/rtshield/rtshield/runtime/argv"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// execute is the verb exec. A process that is added to a shielded container runs ordinary: engines such as containerd's CRI
// copy the scheduler of the container's own process into it, and a health check at FIFO would stop what it looks after. Where
// the class says inherit, it runs as the container does; where it says so, on housekeeping CPUs.
func execute(inv argv.Invocation) (int, error) {
	e, err := find(inv)
	if err = errors.Join(err, e.unread()); err != nil {
		return 1, err
	}
	if e.idle {
		return 1, delegate.Become(e.delegate, inv.Argv)
	}
	ledger, err := e.store.Peek()
	if err != nil {
		return 1, fmt.Errorf("exec into container %s could run real-time: %w", inv.ID, err)
	}
	_ = watch.Ensure(e.store, ledger) // status tells; stderr is the added process's
	grant := ledger.Grant(e.key)
	if ordinary := ledger.OrdinaryOf(e.key); ordinary != nil && ordinary.Shared != nil {
		shared := ordinary.Shared.Grant(e.key, ordinary.Name)
		grant = &shared
	}
	// Without --process the delegate starts from config.json, which has no scheduler any more.
	if grant == nil || inv.Process == "" && !grant.RewritesExec() {
		return 1, delegate.Become(e.delegate, inv.Argv)
	}
	data, err := process(inv, *grant)
	switch {
	case errors.Is(err, errNothing), errors.Is(err, fs.ErrNotExist): // the delegate has its own words for this
		return 1, delegate.Become(e.delegate, inv.Argv)
	case err != nil:
		return 1, fmt.Errorf("exec into container %s: %w", inv.ID, err)
	}
	file, err := inMemory("process", data)
	if err != nil {
		return 1, err
	}
	// Far above what --preserve-fds counts; the delegate keeps all but those from the container.
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD, 1000)
	if err != nil {
		return 1, fmt.Errorf("process for the delegate: %w", err)
	}
	return 1, delegate.Become(e.delegate, inv.Replace("process", fmt.Sprintf("/proc/self/fd/%d", fd)))
}

// process gives the JSON of what is to be added. What cannot be read as such goes to the delegate as it is.
func process(inv argv.Invocation, grant shield.Grant) ([]byte, error) {
	if inv.Process == "" {
		p, err := fromFlags(inv, grant.Bundle)
		if err != nil {
			return nil, err
		}
		return rewrite(p, grant), nil
	}
	data, err := readProcess(inv.Process)
	if err != nil {
		return nil, err
	}
	p, err := spec.ParseProcess(data)
	if err != nil {
		return data, nil //nolint:nilerr // see above
	}
	return rewrite(p, grant), nil
}

// rewrite gives a process the policy and the CPUs of what is added to a container.
func rewrite(p spec.Process, grant shield.Grant) []byte {
	if grant.Exec == shield.Inherit {
		p.Schedule(grant)
	} else {
		p.Demote()
	}
	if !grant.ExecCPUs.IsEmpty() {
		p.RunOn(grant)
	}
	return p.JSON()
}

// fromFlags does what delegates do without --process (runc's getProcess): the container's own process, changed by flags.
func fromFlags(inv argv.Invocation, bundle string) (spec.Process, error) {
	p, err := spec.LoadProcess(bundle)
	if err != nil || len(inv.Args) < 2 {
		return p, errors.Join(err, errNothing)
	}
	p.Set("args", inv.Args[1:])
	for flag, member := range map[string]string{"cwd": "cwd", "apparmor": "apparmorProfile", "process-label": "selinuxLabel"} {
		if value, given := inv.Flag(flag); given && value != "" {
			p.Set(member, value)
		}
	}
	tty, _ := inv.Flag("tty")
	p.Set("terminal", tty == "true")
	if value, given := inv.Flag("no-new-privs"); given {
		p.Set("noNewPrivileges", value == "true")
	}
	p.Append("env", inv.Values("env")...)
	capabilities := inv.Values("cap")
	for _, set := range []string{"bounding", "effective", "permitted"} {
		p.Append("capabilities."+set, capabilities...)
	}
	if p.Has("capabilities.inheritable") {
		p.Append("capabilities.ambient", capabilities...)
	}
	return p, user(inv, p)
}

func user(inv argv.Invocation, p spec.Process) error {
	name, given := inv.Flag("user")
	more := inv.Values("additional-gids")
	if !given && len(more) == 0 {
		return nil
	}
	who := p.User()
	if uid, gid, both := strings.Cut(name, ":"); name != "" {
		for _, id := range []struct{ text, member string }{{uid, "uid"}, {gid, "gid"}} {
			if id.member == "gid" && !both {
				continue
			}
			number, err := strconv.ParseUint(id.text, 10, 32)
			if err != nil {
				return errNothing
			}
			who[id.member] = number
		}
	}
	groups, _ := who["additionalGids"].([]any)
	for _, text := range more {
		number, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return errNothing
		}
		groups = append(groups, number)
	}
	if len(groups) > 0 {
		who["additionalGids"] = groups
	}
	p.Set("user", who)
	return nil
}

// maxProcess bounds what is read of a process's JSON. Real ones are below 20 kB.
const maxProcess = 4 << 20

func readProcess(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxProcess))
}

// inMemory gives a file that stands on no disk, at its start. It closes on exec.
func inMemory(what string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(what, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%s for the delegate: %w", what, err)
	}
	file := os.NewFile(uintptr(fd), what)
	_, err = file.Write(data)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s for the delegate: %w", what, err)
	}
	return file, nil
}
