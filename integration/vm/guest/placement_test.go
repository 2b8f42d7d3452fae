//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/hog"
)

// This VM has two nodes of two cores of two threads; the first core keeps house, or with isolcpus= the first node.

func TestEachThreadPolicyGivesWhatItPromises(t *testing.T) {
	once(t, func(r *rig) {
		topo := topology(r)
		coreOf := func(cpus cpuset.CPUSet) cpuset.CPUSet {
			for _, core := range topo.Cores {
				if cpus.IsSubsetOf(core) {
					return core
				}
			}
			return cpuset.New()
		}
		gives := func(policy string, count int) (held, idle cpuset.CPUSet) {
			r.Helper()
			pid := r.begin("run", policy, class("fifo"), annotate("smt", policy, "cpus", strconv.Itoa(count)))
			grant := r.grant(policy)
			if now := r.allowed(pid); now != grant.CPUs.String() || grant.CPUs.Size() != count {
				r.Errorf("%s: %d CPUs asked for, granted %s, may run on %s", policy, count, grant.CPUs, now)
			}
			return grant.CPUs.CPUSet, grant.Idle.CPUSet
		}

		whole, idle := gives("require", 2)
		if !coreOf(whole).Equals(whole) || !idle.IsEmpty() {
			r.Errorf("require: CPU %s of core %s, idle %s", whole, coreOf(whole), idle)
		}
		_, half := r.try("run", "half", r.bundle("half", class("fifo"), annotate("smt", "require", "cpus", "1")))
		r.contains("the refusal of half a core", half.stderr, "as whole cores, which smt require wants")

		one, rest := gives("isolate", 1)
		if coreOf(one).Intersection(whole).Size() > 0 || !one.Union(rest).Equals(coreOf(one)) || rest.Size() != 1 {
			r.Errorf("isolate: CPU %s, idle %s of core %s", one, rest, coreOf(one))
		}
		r.end("require")

		// The siblings of what others have, before it breaks up another core.
		r.begin("run", "first", class("fifo"), annotate("smt", "prefer"))
		first := r.grant("first").CPUs.CPUSet
		second, _ := gives("prefer", 1)
		if core := coreOf(first); !second.Union(first).Equals(core) || core.Intersection(one).Size() > 0 {
			r.Errorf("prefer: CPU %s and then %s, of core %s", first, second, core)
		}
	})
}

// Loops that want every CPU run from before the container's start until after its end.
func TestTheIdleSiblingGetsNoTaskForAContainersLife(t *testing.T) {
	once(t, func(r *rig) {
		c := newCrowd(r)
		r.begin("create", "a", class("fifo"))
		idle := r.grant("a").Idle.CPUSet
		if idle.IsEmpty() {
			r.Fatal("there is no idle sibling")
		}
		c.keptOff("created", idle, func() { c.start("at the start", hog.Stubborn, "/busy") })
		r.must(r.oci("start", "a"))
		c.keptOff("running", idle, func() {
			c.start("started meanwhile", hog.Forking, "/outer/inner")
			r.must(r.oci("exec", "a", "/bin/true"))
			r.must(r.command("reconcile"))
		})
		r.end("a")
		if isolated(r) { // no loop comes there of itself
			return
		}
		r.eventually(func() error {
			if c.usage(func() {}); len(c.On(idle)) == 0 {
				return fmt.Errorf("after its end no loop came to CPU %s: this test sees nothing", idle)
			}
			return nil
		})
	})
}

// pages counts the pages that a process has for itself, by node. What is mapped from a file lies where it was first read.
func pages(r *rig, pid int) map[int]int {
	r.Helper()
	count := map[int]int{}
	for line := range strings.Lines(text(r, fmt.Sprintf("/proc/%d/numa_maps", pid))) {
		words := strings.Fields(line)
		if !strings.Contains(line, " anon=") || strings.Contains(line, " file=") {
			continue
		}
		for _, word := range words {
			node, number, found := strings.Cut(word, "=")
			at, err := strconv.Atoi(strings.TrimPrefix(node, "N"))
			if n, convErr := strconv.Atoi(number); found && strings.HasPrefix(node, "N") && err == nil && convErr == nil {
				count[at] += n
			}
		}
	}
	return count
}

func TestMemoryOfAShieldedContainerIsOnItsNode(t *testing.T) {
	once(t, func(r *rig) {
		topo := topology(r)
		for node, members := range topo.Nodes {
			free := members.Intersection(r.status().Layout.Pool.CPUSet)
			if free.IsEmpty() {
				continue // keeps house
			}
			id := fmt.Sprintf("node%d", node)
			// 4 MB in a variable of the shell.
			pid := r.begin("run", id, class("fifo"), annotate("cpuset", strconv.Itoa(free.List()[0])),
				args("/bin/sh", "-c", `x=x; for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do x=$x$x; done; while :; do /bin/busybox sleep 60; done`))
			if grant := r.grant(id); grant.Mems.String() != strconv.Itoa(node) {
				r.Errorf("CPU %s has memory of node %s", grant.CPUs, grant.Mems)
			}
			r.eventually(func() error {
				if now := pages(r, pid)[node]; now < 1024 {
					return fmt.Errorf("%d pages on node %d, not the 1024 of 4 MB", now, node)
				}
				return nil
			})
			if now := pages(r, pid); len(now) != 1 {
				r.Errorf("on node %d it has pages by node %v", node, now)
			}
			r.end(id)
		}
	})
}

func TestAContainerIsPutWhereNUMAAndNearSay(t *testing.T) {
	once(t, func(r *rig) {
		const node = 1
		device := ofANode(r, node)
		topo := topology(r)
		r.begin("run", "near", class("fifo"), annotate("near", "pci "+device))
		grant := r.grant("near")
		if !grant.CPUs.IsSubsetOf(topo.Nodes[node]) || grant.Mems.String() != strconv.Itoa(node) {
			r.Errorf("near %s on node %d: CPU %s, memory of node %s", device, node, grant.CPUs, grant.Mems)
		}
		dir := r.bundle("told", class("fifo"), annotate("near", "pci "+device))
		explained := r.must(r.command("explain", "--bundle", dir)).out
		if isolated(r) { // all of the pool is on that node
			return
		}
		r.contains("explain", explained, "chosen: node 1, nearest (1: ", "0: ")
		r.end("near")

		// Three cores are more than a node has.
		_, single := r.try("run", "single", r.bundle("single", class("fifo"), annotate("cpus", "3", "numa", "single")))
		r.contains("the refusal", single.stderr, "but not on one node, which numa single wants")
		pid := r.begin("run", "over", class("fifo"), annotate("cpus", "3", "numa", "prefer"))
		if grant := r.grant("over"); grant.Mems.String() != "0-1" || r.allowed(pid) != grant.CPUs.String() {
			r.Errorf("over both nodes: CPU %s of %s, memory of node %s", r.allowed(pid), grant.CPUs, grant.Mems)
		}
		r.end("over")
		both := cpuset.New(topo.Nodes[0].Intersection(r.status().Layout.Pool.CPUSet).List()[0], topo.Nodes[1].List()[0]).String()
		_, byHand := r.try("run", "hand", r.bundle("hand", class("fifo"), annotate("numa", "single"), cpus(both)))
		r.contains("the refusal", byHand.stderr, "asks for CPU "+both+", on nodes 0-1, but numa is single (class fifo)")
	})
}

// ofANode gives a PCI device that is said to be on a node until the test ends: this firmware tells of none.
func ofANode(r *rig, node int) string {
	r.Helper()
	devices, _ := filepath.Glob("/sys/bus/pci/devices/*")
	for _, device := range devices {
		file := device + "/numa_node"
		before, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(node)), 0); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() {
			if err := os.WriteFile(file, before, 0); err != nil {
				r.Error(err)
			}
		})
		return filepath.Base(device)
	}
	r.Fatal("this VM has no PCI device that may be on a node")
	return ""
}
