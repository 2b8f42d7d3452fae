package interference

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// tell fills in what was the container's, as far as the kernel says it.
//
// On cgroup v1, cpuacct.usage_percpu of the root counts every task, threads of the kernel too, and that of the container
// all that ever was in its cgroup: the difference is exact for each CPU, whoever has ended meanwhile. On v2 there is only
// the container's time on all CPUs together, which the run queues' own time has to be held against.
func tell(root host.Root, reading *Reading, container Container) error {
	place := container.Cgroup
	if place.Dir == "" || place.Dir == place.Mount {
		return nil // it cannot be told from the rest of the host
	}
	if place.Unified {
		return tellTogether(root, reading, container)
	}
	for range 5 {
		before, err := percpu(root, place.Dir)
		if err != nil {
			return err
		}
		all, err := percpu(root, place.Mount)
		if err != nil {
			return err
		}
		after, err := percpu(root, place.Dir)
		if err != nil {
			return err
		}
		still := true
		for cpu, c := range reading.CPUs {
			foreign := all[cpu] - min(all[cpu], before[cpu])
			c.Foreign = &foreign
			reading.CPUs[cpu] = c
			still = still && before[cpu] == after[cpu]
		}
		if still { // else the container's time grew between the two files
			break
		}
	}
	return nil
}

// percpu reads cpuacct.usage_percpu, in ns. It has a number for each possible CPU, in order.
func percpu(root host.Root, dir string) (map[int]uint64, error) {
	text, err := root.Read(dir, "cpuacct.usage_percpu")
	if err != nil {
		return nil, err
	}
	possible, err := root.ReadList("sys/devices/system/cpu/possible")
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(text)
	usage := make(map[int]uint64, len(fields))
	for i, cpu := range possible.List() {
		if i >= len(fields) {
			break
		}
		if usage[cpu], err = strconv.ParseUint(fields[i], 10, 64); err != nil {
			return nil, fmt.Errorf("cpuacct.usage_percpu of %s: %w", dir, err)
		}
	}
	return usage, nil
}

// tellTogether reads the container's own time and turns, again while it runs: the run queue counts a turn when it is over.
func tellTogether(root host.Root, reading *Reading, container Container) error {
	for try := range 5 {
		if try > 0 {
			readTasks(root, reading)
		}
		own := &Own{Turns: map[int]uint64{}}
		readThreads(root, container, own)
		var err error
		if own.Time, err = usage(root, container.Cgroup.Dir); err != nil {
			return err
		}
		reading.Own = own
		if !own.Running {
			break
		}
	}
	return nil
}

// readTasks reads the run queues once more, if there is something to read.
func readTasks(root host.Root, reading *Reading) {
	counters := map[int]*Counters{}
	for cpu := range reading.CPUs {
		counters[cpu] = &Counters{}
	}
	if parse(root, "proc/schedstat", cpuset.New(), counters, readSchedstat) != nil {
		return
	}
	for cpu, c := range reading.CPUs {
		c.Tasks = counters[cpu].Tasks
		reading.CPUs[cpu] = c
	}
}

// usage reads usage_usec of cpu.stat, which every cgroup v2 but the root has, whatever its controllers. It gives ns.
func usage(root host.Root, dir string) (uint64, error) {
	text, err := root.Read(dir, "cpu.stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "usage_usec "); found {
			us, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return us * 1000, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat has no usage_usec", dir)
}

// readThreads reads the container's threads. The turns of a process that came in from outside (exec) may have been on any
// CPU, so they do not count; those of its children do.
func readThreads(root host.Root, container Container, own *Own) {
	processes := root.CgroupProcesses(container.Cgroup.Dir)
	for _, pid := range processes {
		parent, _ := stat(root, pid)
		inside := pid == container.PID || slices.Contains(processes, parent)
		threads, _ := os.ReadDir(root.Path("proc", strconv.Itoa(pid), "task"))
		for _, entry := range threads {
			tid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			if _, state := stat(root, tid); state == "R" {
				own.Running = true
			}
			if inside {
				readTurns(root, tid, own)
			}
		}
	}
}

// readTurns reads the third number of /proc/TID/schedstat. A thread that has ended has none.
func readTurns(root host.Root, tid int, own *Own) {
	text, err := root.Read("proc", strconv.Itoa(tid), "schedstat")
	fields := strings.Fields(text)
	if err != nil || len(fields) != 3 {
		return
	}
	if turns, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
		own.Turns[tid] = turns
	}
}

func stat(root host.Root, tid int) (parent int, state string) {
	text, _ := root.Read("proc", strconv.Itoa(tid), "stat")
	_, _ = fmt.Sscanf(text[strings.LastIndex(text, ")")+1:], " %1s %d", &state, &parent)
	return parent, state
}
