// Package hog runs busy loops that want every CPU, and finds out which they got: the proof of a shield that does not look
// at masks.
package hog

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/demo/bundle"
)

// Program is the loops' name in a pack's directory, and as processes: no task of a machine is called so.
const Program = "rt-loop"

// Pack is a number of loops that spin and rest together.
type Pack struct {
	// Dir holds the program and the file that the loops share; containers that run a loop have it as /hog.
	Dir   string
	words []uint64
	turn  int
	names []string
	loops []*exec.Cmd
}

// size of the file that they share: a word for each of 63 loops and each of 127 turns.
const size = 128 * 64 * 8

// New makes a pack in a new directory, from the program of the folder loop, which must be static.
func New(dir, program string) (*Pack, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := bundle.CopyProgram(filepath.Join(dir, Program), program); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, "shared"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &Pack{Dir: dir, words: unsafe.Slice((*uint64)(unsafe.Pointer(&data[0])), len(data)/8)}, nil
}

// The ways of a loop: see the command.
const (
	Plain    = "plain"
	Stubborn = "stubborn"
	Forking  = "forking"
)

// Args are a new loop's arguments as its container sees them.
func (p *Pack) Args(name, mode string) []string { return p.args("/hog", name, mode) }

func (p *Pack) args(dir, name, mode string) []string {
	p.names = append(p.names, name)
	return []string{filepath.Join(dir, Program), filepath.Join(dir, "shared"), strconv.Itoa(len(p.names)), mode}
}

// Start starts a loop on the host, in these cgroup directories, and gives its process. It may run on every CPU of them.
func (p *Pack) Start(name, mode string, cgroups ...string) (int, error) {
	args := p.args(p.Dir, name, mode)
	loop := exec.Command(args[0], args[1:]...)
	loop.Env = append(os.Environ(), "GOMAXPROCS=1")
	loop.Stderr = os.Stderr
	if err := loop.Start(); err != nil {
		return 0, err
	}
	p.loops = append(p.loops, loop)
	pid := loop.Process.Pid
	for _, dir := range cgroups {
		if err := Move(pid, dir); err != nil {
			return pid, err
		}
	}
	return pid, nil
}

// Move puts a process into a cgroup directory.
func Move(pid int, dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// Spin lets all loops run, and forgets which CPUs they have seen; Rest stops them.
func (p *Pack) Spin() {
	p.turn++
	atomic.StoreUint64(&p.words[0], uint64(p.turn))
}

// Rest stops them, until the next Spin.
func (p *Pack) Rest() { atomic.StoreUint64(&p.words[0], 0) }

// Seen gives the CPUs that each loop has found itself on since Spin.
func (p *Pack) Seen() map[string]cpuset.CPUSet {
	seen := map[string]cpuset.CPUSet{}
	for i, name := range p.names {
		word := atomic.LoadUint64(&p.words[64*p.turn+i+1])
		var cpus []int
		for cpu := range 64 {
			if word>>cpu&1 == 1 {
				cpus = append(cpus, cpu)
			}
		}
		seen[name] = cpuset.New(cpus...)
	}
	return seen
}

// On lists the loops that have been on any of these CPUs since Spin, with what they saw.
func (p *Pack) On(cpus cpuset.CPUSet) []string {
	seen := p.Seen()
	var found []string
	for _, name := range p.names {
		if !seen[name].Intersection(cpus).IsEmpty() {
			found = append(found, fmt.Sprintf("%s on CPU %s", name, seen[name]))
		}
	}
	return found
}

// All gives every CPU that any loop has seen since Spin.
func (p *Pack) All() cpuset.CPUSet {
	all := cpuset.New()
	for _, seen := range p.Seen() {
		all = all.Union(seen)
	}
	return all
}

// Idle lists the loops that have not run at all since Spin: they prove nothing.
func (p *Pack) Idle() []string {
	seen := p.Seen()
	var idle []string
	for _, name := range p.names {
		if seen[name].IsEmpty() {
			idle = append(idle, name)
		}
	}
	return idle
}

// End ends the loops of the host; those in containers end with these.
func (p *Pack) End() {
	p.Rest()
	for _, loop := range p.loops {
		_ = loop.Process.Kill()
		_ = loop.Wait()
	}
}
