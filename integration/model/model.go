// Package model plays containers that come and go at random on a real kernel, against a model of what each of them must
// have: the ledger's grants, the CPUs and policies of all, and who must have been refused.
package model

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// Wish is what a container asks for.
type Wish struct {
	// Class is empty for an ordinary container, whose cpuset is CPUs.
	Class, CPUs string
	// Choices are annotations below rtshield.io.
	Choices map[string]string
	// Parent is the cgroup that its own is made in.
	Parent string
}

func (w Wish) String() string {
	if w.Class == "" {
		return fmt.Sprintf("ordinary on %q in %s", w.CPUs, w.Parent)
	}
	return fmt.Sprintf("class %s %v in %s", w.Class, w.Choices, w.Parent)
}

// Program is what the containers run. All of its processes are called busybox: a machine that happens to run a shell or a
// sleep has those exempt, with the whole cgroup that they are in.
var Program = []string{"/bin/busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do /bin/busybox sleep 60 & wait; done"}

// Host runs the containers: a rig of the machine that the test is on.
type Host interface {
	testing.TB
	// Parents are the cgroups to make containers in: there already, so that a snapshot has them.
	Parents() []string
	// Create is the verb, through rtshield. It gives the first process, 0 for a container that was refused, and what was
	// said on stderr. It runs Program, which ends with SIGTERM.
	Create(id string, wish Wish) (pid int, said string)
	// Abort kills a create after a while, and clears away what is left of it as an engine would: with delete --force.
	Abort(id string, wish Wish, after time.Duration)
	// Do is rtshield with these arguments, which must succeed. "--root" is added for verbs of a container.
	Do(verb string, args ...string)
	// Try is Do for what may be refused, with what was said then, "" if it succeeded.
	Try(verb string, args ...string) (said string)
	// Gone waits until a container's first process has been reaped.
	Gone(id string)
	// Key is how the ledger calls a container; Ledger is nil without one.
	Key(id string) shield.Key
	Ledger() *shield.Ledger
	// AsBefore fails unless every setting is as at the beginning and no ledger is left.
	AsBefore(when string)
}

// Hotplug is what a Host has besides where CPUs can go and come.
type Hotplug interface {
	// Plug takes a CPU offline and brings it back.
	Plug(cpu int)
	// Spread are the files of the interrupts that their drivers then place anew, whoever had placed them.
	Spread() []string
}

type state string

const (
	created state = "created"
	running state = "running"
	ended   state = "ended"
)

type container struct {
	id    string
	wish  Wish
	pid   int
	state state
}

type game struct {
	Host
	random     *rand.Rand
	facts      shield.Host
	layout     shield.Layout
	containers []*container
	made       int
	irqs       map[string]cpuset.CPUSet
	work       cpuset.CPUSet
	history    []string
}

// Play makes so many random steps and checks after each that all is as it must be. In the end nobody is left.
func Play(h Host, seed uint64, steps int) {
	h.Helper()
	h.Logf("seed %d: %d steps", seed, steps)
	facts, err := reconcile.Host(host.System)
	if err != nil {
		h.Fatal(err)
	}
	layout, err := shield.NewLayout(shield.LayoutSpec{}, facts.Topology)
	if err != nil {
		h.Fatal(err)
	}
	// All that a request could take.
	if err := reconcile.Inquire(host.System, &facts, layout, "", shield.Terms{}); err != nil {
		h.Fatal(err)
	}
	g := &game{Host: h, random: rand.New(rand.NewPCG(seed, 0)), facts: facts, layout: layout, irqs: affinities(), work: unboundWork(h)}
	if plugs, can := h.(Hotplug); can {
		for _, file := range plugs.Spread() {
			delete(g.irqs, file)
		}
	}
	for step := range steps {
		if step > 0 && step%500 == 0 { // a long game says where it is
			h.Logf("seed %d: step %d of %d, %d containers made", seed, step, steps, g.made)
		}
		what := g.step()
		g.history = append(g.history, what)
		g.check()
		if h.Failed() {
			left, _ := json.Marshal(h.Ledger())
			h.Fatalf("seed %d, step %d: %s. The ledger: %s. The kernel:\n  %s\nThe steps:\n  %s", seed, step, what, left, where(g), strings.Join(g.history, "\n  "))
		}
	}
	for len(g.containers) > 0 {
		g.remove(g.containers[0], g.containers[0].state != ended || g.random.IntN(2) == 0)
		g.check()
	}
	h.Do("reconcile")
	h.AsBefore("in the end")
	h.Logf("seed %d: %d containers, %s", seed, g.made, g.count())
}

// count sums up what was played, so that a game of refusals alone is seen.
func (g *game) count() string {
	counts := map[string]int{}
	for _, what := range g.history {
		counts[strings.Fields(what)[0]]++
	}
	var words []string
	for what, n := range counts {
		words = append(words, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// full is how many containers there are at most.
const full = 6

func (g *game) step() string {
	one := g.any(func(*container) bool { return true })
	switch dice := g.random.IntN(24); {
	case one == nil || dice < 7 && len(g.containers) < full:
		return g.create()
	case dice < 8:
		return g.abort()
	case dice < 9:
		g.Do("reconcile")
		g.granted(g.live(), "after reconcile")
		return "reconcile"
	case dice < 12:
		if c := g.any(func(c *container) bool { return c.state == created }); c != nil {
			g.Do("start", c.id)
			c.state = running
			return "start " + c.id
		}
	case dice < 14:
		if c := g.any(func(c *container) bool { return c.state == running }); c != nil {
			return g.exit(c)
		}
	case dice < 16:
		if c := g.any(func(c *container) bool { return c.state != ended }); c != nil {
			g.Do("kill", c.id, "KILL")
			g.Gone(c.id)
			c.state = ended
			return "kill " + c.id
		}
	case dice < 17:
		if plugs, can := g.Host.(Hotplug); can {
			return g.plug(plugs)
		}
	case dice < 20:
		if c := g.any(func(c *container) bool { return c.state != ended }); c != nil {
			return g.update(c)
		}
	}
	if one.state == ended {
		g.remove(one, g.random.IntN(2) == 0)
		return "delete " + one.id
	}
	g.remove(one, true)
	return "delete --force " + one.id
}

// plug takes away a CPU for a moment that no container has to itself, and never CPU 0.
func (g *game) plug(plugs Hotplug) string {
	free := g.facts.Topology.Online.Difference(g.alive().Held()).Difference(cpuset.New(0)).List()
	if len(free) == 0 {
		return "plug nothing"
	}
	cpu := free[g.random.IntN(len(free))]
	plugs.Plug(cpu)
	g.Do("reconcile")
	g.granted(g.live(), "after hotplug and reconcile")
	return fmt.Sprintf("plug CPU %d", cpu)
}

// update gives a container other CPUs, as an engine tries to: a shielded one keeps its own, an ordinary one gets what
// nobody holds.
func (g *game) update(c *container) string {
	online := g.facts.Topology.Online
	cpus := []string{online.String(), g.layout.Pool.String(), fmt.Sprint(g.random.IntN(online.Size()))}[g.random.IntN(3)]
	wanted, _ := cpuset.Parse(cpus)
	alive, refusal := g.alive(), ""
	switch own := alive.Grant(g.Key(c.id)); {
	case own != nil && !own.CPUs.Equals(wanted):
		refusal = "holds CPU " + own.CPUs.String()
	case own == nil && wanted.IsSubsetOf(alive.Held()):
		refusal = "is kept for others"
	}
	what := fmt.Sprintf("update %s (%s) to CPU %s", c.id, c.wish, cpus)
	switch said := g.Try("update", "--cpuset-cpus", cpus, c.id); {
	case (said == "") != (refusal == ""), !strings.Contains(said, refusal):
		g.Errorf("%s: it said %q, and should say %q", what, said, refusal)
	case said == "" && c.wish.Class == "":
		c.wish.CPUs = cpus
	}
	return what
}

func (g *game) any(like func(*container) bool) *container {
	var fit []*container
	for _, c := range g.containers {
		if like(c) {
			fit = append(fit, c)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[g.random.IntN(len(fit))]
}

// exit lets a container end by itself: nobody tells rtshield.
func (g *game) exit(c *container) string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Gone(c.id)
	}()
	for {
		_ = unix.Kill(c.pid, unix.SIGTERM) // until it has come to its trap
		select {
		case <-done:
			c.state = ended
			return "exit " + c.id
		case <-time.After(30 * time.Millisecond):
		}
	}
}

func (g *game) remove(c *container, force bool) {
	if force {
		g.Do("delete", "--force", c.id)
		g.Gone(c.id)
	} else {
		g.Do("delete", c.id)
	}
	g.containers = slices.DeleteFunc(g.containers, func(other *container) bool { return other == c })
}

func (g *game) wish() Wish {
	pick := func(words ...string) string { return words[g.random.IntN(len(words))] }
	wish := Wish{Parent: pick(g.Parents()...)}
	if g.random.IntN(4) == 0 {
		online := g.facts.Topology.Online
		wish.CPUs = pick("", "", online.String(), g.layout.Pool.String(), fmt.Sprint(g.random.IntN(online.Size())))
		return wish
	}
	wish.Class, wish.Choices = pick("fifo", "fifo", "rr", "batch", "deadline"), map[string]string{}
	if g.random.IntN(2) == 0 {
		wish.Choices["cpus"] = pick("1", "2", "3")
	}
	if g.random.IntN(3) == 0 {
		wish.Choices["smt"] = pick(shield.SMTPrefer, shield.SMTRequire)
	}
	if g.random.IntN(3) == 0 {
		wish.Choices["numa"] = pick(shield.NUMASingle, shield.NUMAAny)
	}
	if g.random.IntN(4) == 0 {
		wish.Choices["irq"] = "keep"
	}
	if wish.Class != "deadline" && g.random.IntN(3) == 0 {
		wish.Choices["partition"] = pick("none", shield.Isolated, shield.Root)
	}
	return wish
}

func (g *game) create() string {
	g.made++
	id, wish := fmt.Sprintf("c%d", g.made), g.wish()
	refusal := g.refusal(id, wish)
	pid, said := g.Create(id, wish)
	switch {
	case pid == 0 && refusal == "":
		g.Errorf("%s (%s) was refused: %s", id, wish, said)
	case pid == 0 && !strings.Contains(said, refusal):
		g.Errorf("%s (%s) was refused with %q, and should be with %q", id, wish, said, refusal)
	case pid != 0 && refusal != "":
		g.Errorf("%s (%s) was created, though %s", id, wish, refusal)
	case pid != 0:
		g.containers = append(g.containers, &container{id, wish, pid, created})
		if wish.Class != "" {
			g.granted(g.live(), "after create")
		}
		return "create " + id + ": " + wish.String()
	}
	return "refused " + id + ": " + wish.String()
}

func (g *game) abort() string {
	g.made++
	id, wish, after := fmt.Sprintf("c%d", g.made), g.wish(), time.Duration(g.random.IntN(120))*time.Millisecond
	g.Abort(id, wish, after)
	g.Do("reconcile")
	g.granted(g.live(), "after reconcile")
	return fmt.Sprintf("abort %s after %v: %s", id, after, wish)
}

// refusal is a part of what must be said, "" for a container that must be created. What the living hold, the ledger says;
// the rest is decided from nothing.
func (g *game) refusal(id string, wish Wish) string {
	alive := g.alive()
	if wish.Class == "" {
		wanted, _ := cpuset.Parse(wish.CPUs)
		if !wanted.IsEmpty() && wanted.IsSubsetOf(alive.Held()) {
			return "is kept for others (" + shield.Holders(alive.Grants)
		}
		return ""
	}
	request := shield.Request{Key: g.Key(id), Name: id, Choices: shield.Choices{"class": {Value: wish.Class, Source: "annotation rtshield.io/class"}}}
	for key, value := range wish.Choices {
		request.Choices[key] = shield.Choice{Value: value, Source: "annotation rtshield.io/" + key}
	}
	grant, err := shield.Decide(shield.BuiltinClasses(), g.layout, g.facts, alive, request)
	switch {
	case err != nil:
		return err.Error()
	case grant.Policy == shield.Deadline && grant.Partition != shield.Root:
		return "root domain"
	}
	return ""
}

// alive is a ledger of the grants of those that still have a process.
func (g *game) alive() *shield.Ledger {
	alive := &shield.Ledger{}
	if ledger := g.Ledger(); ledger != nil {
		for _, c := range g.live() {
			if grant := ledger.Grant(g.Key(c.id)); grant != nil {
				alive.Add(*grant)
			}
		}
	}
	return alive
}

// live are the containers that still have a process.
func (g *game) live() []*container {
	return slices.DeleteFunc(slices.Clone(g.containers), func(c *container) bool { return c.state == ended })
}
