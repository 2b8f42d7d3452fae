package model

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// granted fails unless exactly these have a grant.
func (g *game) granted(containers []*container, when string) {
	var want, have []string
	for _, c := range containers {
		if c.wish.Class != "" {
			want = append(want, c.id)
		}
	}
	for _, grant := range g.grants() {
		have = append(have, grant.ID)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		g.Errorf("%s the ledger has grants of %q, and should have %q", when, have, want)
	}
}

func (g *game) grants() []shield.Grant {
	if ledger := g.Ledger(); ledger != nil {
		return ledger.Grants
	}
	return nil
}

// check compares the kernel with the model. Between two commands, one that ended may still have its grant.
func (g *game) check() {
	if len(g.containers) == 0 {
		g.AsBefore("without any container")
		return
	}
	ledger := &shield.Ledger{Grants: g.grants()}
	held, away := ledger.Held(), ledger.Away()
	seen := cpuset.New()
	for _, grant := range ledger.Grants {
		own := grant.Held().CPUSet
		if !own.IsSubsetOf(g.layout.Pool.CPUSet) || !own.Intersection(seen).IsEmpty() {
			g.Errorf("%s holds CPU %s; the pool is %s, others hold %s", grant.ID, own, g.layout.Pool, seen)
		}
		seen = seen.Union(own)
		if !slices.ContainsFunc(g.containers, func(c *container) bool { return c.id == grant.ID }) {
			g.Errorf("%s has a grant of CPU %s, and is gone", grant.ID, own)
		}
	}
	for _, c := range g.live() {
		if c.wish.Class == "" {
			g.ordinary(c, held)
		} else if grant := ledger.Grant(g.Key(c.id)); grant == nil {
			g.Errorf("%s lives and has no grant", c.id)
		} else {
			g.shielded(c, *grant)
		}
	}
	// Read again before it counts: while the kernel moves an interrupt it shows its former affinity.
	if wrong := g.misplaced(away); len(wrong) > 0 {
		time.Sleep(20 * time.Millisecond)
		for _, line := range g.misplaced(away) {
			g.Error(line)
		}
	}
	if now := unboundWork(g); !now.Equals(g.work.Difference(held)) {
		g.Errorf("unbound work may run on CPU %s; held is %s, before it was %s", now, held, g.work)
	}
}

func (g *game) shielded(c *container, grant shield.Grant) {
	if now := g.allowed(c); !now.Equals(grant.CPUs.CPUSet) {
		g.Errorf("%s runs on CPU %s, granted %s", c.id, now, grant.CPUs)
	}
	policies := map[shield.Policy]uint32{
		shield.FIFO: unix.SCHED_FIFO, shield.RR: unix.SCHED_RR, shield.Deadline: unix.SCHED_DEADLINE, shield.Batch: unix.SCHED_BATCH,
	}
	attr, err := unix.SchedGetAttr(c.pid, 0)
	if err != nil || attr.Policy != policies[grant.Policy] || attr.Priority != uint32(grant.Priority) {
		g.Errorf("%s has policy %+v (%v), granted %s", c.id, attr, err, grant.PolicyText())
	}
	if grant.Level != shield.LevelPartition {
		return
	}
	if kind, err := os.ReadFile(filepath.Join(grant.Cgroups.Cpuset, "cpuset.cpus.partition")); strings.TrimSpace(string(kind)) != grant.Partition {
		g.Errorf("%s is a partition %q (%v), granted %s", c.id, kind, err, grant.Partition)
	}
}

func (g *game) ordinary(c *container, held cpuset.CPUSet) {
	wanted, _ := cpuset.Parse(c.wish.CPUs)
	if wanted.IsEmpty() {
		wanted = g.facts.Topology.Online
	}
	now, left := g.allowed(c), wanted.Difference(held)
	if !now.Intersection(held).IsEmpty() || !left.IsEmpty() && !now.Equals(left) {
		g.Errorf("%s, ordinary, may run on CPU %s; it wanted %s, and held is %s", c.id, now, wanted, held)
	}
}

func (g *game) allowed(c *container) cpuset.CPUSet {
	cpus, err := host.System.AllowedCPUs(c.pid)
	if err != nil {
		g.Errorf("%s: %v", c.id, err)
	}
	return cpus
}

// misplaced lists the interrupts that are not where they were in the beginning, less the CPUs that they must leave.
func (g *game) misplaced(away cpuset.CPUSet) []string {
	var wrong []string
	now := affinities()
	for file, was := range g.irqs {
		is, there := now[file]
		left := was.Difference(away)
		if there && (!is.Intersection(away).IsEmpty() || !left.IsEmpty() && !is.Equals(left)) {
			wrong = append(wrong, file+" is "+is.String()+", was "+was.String()+", and must leave "+away.String())
		}
	}
	return wrong
}

// affinities are those of all interrupts that can be moved, and of new ones.
func affinities() map[string]cpuset.CPUSet {
	found := map[string]cpuset.CPUSet{}
	files, _ := filepath.Glob("/proc/irq/*/smp_affinity_list") // the only error is a bad pattern
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o222 == 0 {
			continue
		}
		if cpus, err := host.System.ReadList(file); err == nil {
			found[file] = cpus
		}
	}
	if cpus, err := host.System.ReadMask("/proc/irq/default_smp_affinity"); err == nil {
		found["/proc/irq/default_smp_affinity"] = cpus
	}
	return found
}

func unboundWork(t testing.TB) cpuset.CPUSet {
	cpus, err := host.System.ReadMask("/sys/devices/virtual/workqueue/cpumask")
	if err != nil {
		t.Fatal(err)
	}
	return cpus
}

// where is what the kernel has of everybody's CPUs, for whoever reads of a failure.
func where(g *game) string {
	var lines []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasPrefix(entry.Name(), "cpuset.cpus") && path != "/sys/fs/cgroup/cpuset.cpus" {
			if data, err := os.ReadFile(path); err == nil {
				lines = append(lines, path+" "+strings.TrimSpace(string(data)))
			}
		}
		return nil
	})
	for _, c := range g.live() {
		lines = append(lines, fmt.Sprintf("%s (pid %d) may run on %s", c.id, c.pid, g.allowed(c)))
	}
	return strings.Join(lines, "\n  ")
}
