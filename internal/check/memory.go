package check

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/shield"
)

func swap(v *view) []Finding {
	f := Finding{Name: "swap", Mark: Good, Looked: []string{"/proc/swaps"}}
	on, err := v.Root.Swaps()
	if err != nil {
		return unread(f.Name, f.Looked, err)
	}
	control, err := v.Root.SwapControl()
	switch {
	case !on:
		f.Found = "none"
	case err == nil && control != "" && v.class.Swap == string(shield.Off):
		f.Found = fmt.Sprintf("on; class %s keeps its containers out of it (%s)", v.class.Name, control)
	default:
		f.Mark, f.Found = Limit, "on, and containers may be swapped out"
		f.Why = "memory that was swapped out is read from a disk before the thread goes on; mlockall(2) keeps a program's own in memory"
		f.Do = []string{fmt.Sprintf("[class.%s] swap = \"off\"", v.class.Name)}
		if control == "" {
			f.Do = []string{"swapoff -a, and take it out of /etc/fstab"}
		}
	}
	return one(f)
}

func hugePages(v *view) []Finding {
	const file = "/sys/kernel/mm/transparent_hugepage/enabled"
	f := Finding{Name: "THP", Mark: Good, Looked: []string{file}}
	text, err := v.Root.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		f.Found = "this kernel has no transparent huge pages"
		return one(f)
	}
	if err != nil {
		return unread(f.Name, f.Looked, err)
	}
	switch now, _ := platform.Chosen(text); {
	case now != "always":
		f.Found = now
	case v.class.THP == shield.Never:
		f.Found = fmt.Sprintf("always; class %s turns it off for its containers (thp)", v.class.Name)
	default:
		f.Mark, f.Found = Limit, "always"
		f.Why = "the kernel may copy memory together, or make room for it, while a thread waits"
		f.Do = []string{fmt.Sprintf("[class.%s] thp = \"never\"; or for the whole host: echo madvise >%s", v.class.Name, file)}
		f.Fix = "echo madvise >" + file
		f.fix = func(root host.Root) error { return root.Write("madvise", file) }
	}
	return one(f)
}

// balancing: the kernel takes pages away for a moment to see who uses them.
func balancing(v *view) []Finding {
	const file = "/proc/sys/kernel/numa_balancing"
	f := Finding{Name: "NUMA balancing", Mark: Good, Looked: []string{file}}
	switch text, err := v.Root.Read(file); {
	case errors.Is(err, fs.ErrNotExist) || len(v.topo.Nodes) < 2:
		return nil
	case err != nil:
		return unread(f.Name, f.Looked, err)
	case text == "0":
		f.Found = "off"
	default:
		f.Mark, f.Found = Limit, "on"
		f.Why = "memory is unmapped for a moment to see which node uses it, and may be moved while a thread waits"
		f.Do = []string{"sysctl kernel.numa_balancing=0; or bind containers to their node: [class." + v.class.Name + "] memory_policy = \"bind\""}
		f.Fix = "sysctl kernel.numa_balancing=0"
		f.fix = func(root host.Root) error { return root.Write("0", file) }
	}
	return one(f)
}
