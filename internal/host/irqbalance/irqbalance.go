// Package irqbalance finds the daemon of that name, which would bring interrupts back to CPUs that they had to leave and take
// away those that were brought somewhere, and tells it which CPUs to leave out and which interrupts to leave alone.
//
// As in the source of irqbalance 1.2 to 1.9.5 (irqbalance.c, cputree.c), and as Debian's 1.9.2 (socket) and 1.9.4 (file) do in VMs.
package irqbalance

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
	"github.com/rtshield/rtshield/internal/host/systemd"
)

// Find names the irqbalances of this host by what they can be told through: "<pid>:<start time>" for one with a socket, the
// distribution's file for one that is a service of systemd, and for a file that still holds our lines. The value, if not
// empty, says why one cannot be told.
//
// Without irqbalance this costs a handful of system calls: nothing is looked for in /proc.
func Find(root host.Root) map[string]string {
	found := map[string]string{}
	if file, _, ours := Leftover(root); ours {
		found[file] = ""
	}
	pids := listeners(root)
	for _, pid := range pids {
		if start, err := root.StartTime(pid); err == nil {
			found[fmt.Sprintf("%d:%d", pid, start)] = ""
		}
	}
	if len(pids) > 0 {
		return found
	}
	pid, service := running(root)
	switch file := configFile(root); {
	case pid == 0:
	case !service:
		found[strconv.Itoa(pid)] = "it has no socket, and is no service of systemd"
	case file == "":
		found[strconv.Itoa(pid)] = "it has no socket, and this host has neither " + strings.Join(configFiles, " nor ")
	default:
		found[file] = ""
	}
	return found
}

// Status is what an irqbalance says of itself.
type Status struct {
	// Banned are the CPUs that it gives no interrupt, as of its last scan.
	Banned cpuset.CPUSet
	// Alone are the numbers of the interrupts that it was told to leave where they are.
	Alone cpuset.CPUSet
	// Interval is the time between two scans.
	Interval time.Duration
}

// Read asks an irqbalance. One that has ended gives fs.ErrNotExist.
func Read(root host.Root, name string) (Status, error) {
	if isFile(name) {
		return readFile(root, name)
	}
	pid, err := alive(root, name)
	if err != nil {
		return Status{}, err
	}
	reply, err := ask(root, pid, "setup")
	if err != nil {
		return Status{}, err
	}
	return parseSetup(reply)
}

// Ban tells an irqbalance which CPUs to leave out. Over the socket it takes effect, and shows, with the next scan, before
// which no interrupt is moved; that it hangs up says that it has heard.
func Ban(root host.Root, name string, cpus cpuset.CPUSet) error {
	if isFile(name) {
		return banInFile(root, name, cpus)
	}
	pid, err := alive(root, name)
	if err != nil {
		return err
	}
	list := cpus.String()
	// Back to what it does without being told, and not to a list that looks the same. An empty list would crash it.
	if own, err := configured(root, pid); list == "" || err == nil && cpus.Equals(own) {
		list = "NULL"
	}
	// The blank ends the list: irqbalance 1.8 does not.
	return tell(root, pid, "settings cpus "+list+" ", "CPU "+list+" is")
}

// tell sends a request that irqbalance does not answer. what names its contents, should it be too long.
func tell(root host.Root, pid int, request, what string) error {
	if len(request) > longest {
		return fmt.Errorf("irqbalance takes no more than %d characters, and %s longer", longest, what)
	}
	_, err := ask(root, pid, request)
	return err
}

// Tells says whether an irqbalance can be told of interrupts: by its socket only.
func Tells(name string) bool { return !isFile(name) }

// LeaveAlone tells an irqbalance the numbers of the interrupts that it shall not move, all of them. It shows them at once.
func LeaveAlone(root host.Root, name string, numbers cpuset.CPUSet) error {
	pid, err := alive(root, name)
	if err != nil {
		return err
	}
	request := "settings ban irqs "
	for _, number := range numbers.List() {
		request += strconv.Itoa(number) + " "
	}
	// A zero ends the list: irqbalance 1.8 would read on.
	if request += "0 "; numbers.IsEmpty() {
		request = "settings ban irqs NONE"
	}
	return tell(root, pid, request, "interrupts "+numbers.String()+" are")
}

// alive gives the pid in a name.
func alive(root host.Root, name string) (int, error) {
	number, start, _ := strings.Cut(name, ":")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("%q names no irqbalance", name)
	}
	if now, err := root.StartTime(pid); err != nil || strconv.FormatUint(now, 10) != start {
		return 0, fmt.Errorf("irqbalance %d: %w", pid, fs.ErrNotExist)
	}
	return pid, nil
}

// parseSetup reads "SLEEP 10 IRQ 24 LOAD 0 DIFF 0 CLASS 1 BANNED 00000000,00000030".
func parseSetup(reply string) (Status, error) {
	_, banned, found := strings.Cut(reply, "BANNED ")
	words := strings.Fields(reply)
	if !found || len(words) < 2 || words[0] != "SLEEP" {
		return Status{}, fmt.Errorf("irqbalance says %q", reply)
	}
	seconds, err := strconv.Atoi(words[1])
	if err != nil {
		return Status{}, fmt.Errorf("irqbalance says %q", reply)
	}
	var alone []int
	for i, word := range words[:len(words)-1] {
		if number, err := strconv.Atoi(words[i+1]); word == "IRQ" && err == nil {
			alone = append(alone, number)
		}
	}
	cpus, err := host.ParseMask(strings.TrimSpace(strings.TrimRight(banned, "\x00")))
	return Status{cpus, cpuset.New(alone...), time.Duration(seconds) * time.Second}, err
}

// configured gives what an irqbalance bans when nobody tells it anything: what its environment says, else what the kernel
// was booted to isolate.
func configured(root host.Root, pid int) (cpuset.CPUSet, error) {
	environ, err := root.Read("proc", strconv.Itoa(pid), "environ")
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return bannedBy(root, parseEnv(strings.ReplaceAll(environ, "\x00", "\n")))
}

// bannedBy reads the variables as irqbalance's setup_banned_cpus does.
func bannedBy(root host.Root, env map[string]string) (cpuset.CPUSet, error) {
	if mask := env[maskVariable]; mask != "" {
		return host.ParseMask(mask)
	}
	if list := env[listVariable]; list != "" {
		return cpuset.Parse(list)
	}
	banned := cpuset.New()
	for _, file := range []string{"isolated", "nohz_full"} {
		// nohz_full may be absent, or "(null)": see host.Topology.
		if cpus, err := root.ReadList("sys/devices/system/cpu", file); err == nil {
			banned = banned.Union(cpus)
		}
	}
	return banned, nil
}

// running finds an irqbalance without asking for its socket, and says whether it is systemd's.
func running(root host.Root) (pid int, service bool) {
	for _, hierarchy := range []string{"", "unified", "systemd"} {
		text, err := root.Read("sys/fs/cgroup", hierarchy, "system.slice/irqbalance.service/cgroup.procs")
		first, _, _ := strings.Cut(text, "\n")
		if pid, _ := strconv.Atoi(first); err == nil && pid > 0 {
			return pid, systemd.Runs(root)
		}
	}
	text, err := root.Read("run/irqbalance.pid")
	pid, _ = strconv.Atoi(strings.TrimSpace(text))
	if err != nil || !isIrqbalance(root, pid) {
		return 0, false
	}
	return pid, false
}

func isIrqbalance(root host.Root, pid int) bool {
	comm, err := root.Read("proc", strconv.Itoa(pid), "comm")
	return err == nil && comm == "irqbalance"
}

func isFile(name string) bool { return filepath.IsAbs(name) }

// gone: nobody listens there.
func gone(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}
