package crash_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/shield"
)

var (
	faultsOf  = flag.String("faults", "calls", "what fails: each system call once (calls), each file once in one way (files), or all in every way (all)")
	fewStages = flag.String("faults.stage", "", "only the stages whose name has this")
)

// Each call that meets what is outside of the program fails once, by the tracer's word: the kernel is not asked.
func TestACallThatFailsIsToldOrMadeUpFor(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: reserving})
	c := newCrash(r, aPage)
	c.recovered("before the first fault", "next")
	c.created()
	c.granted = comparable(c.Grant(id))
	c.recovered("before the first fault", "reconcile")
	failed, missed := map[string]bool{}, map[string]string{} // calls, in any stage; and in which stage not
	for turn, stage := range stages {
		if !strings.Contains(stage.name, *fewStages) || stage.onlyKills {
			continue
		}
		t.Run(stage.name, func(t *testing.T) {
			clean := c.in(t).clean(stage)
			met, done, told := map[string]bool{}, map[string]int{}, 0
			for _, p := range clean.Points {
				met[p.Call] = true
			}
			tries := 0
			try := func(b blow) {
				tries++
				t.Run(fmt.Sprintf("%03d %v", tries, b), func(t *testing.T) {
					c := c.in(t)
					report, res := c.step(stage, b)
					if report.Hit {
						done[strings.Fields(b.kind)[0]]++
					}
					if res.Code != 0 {
						told++
					}
					c.judge(stage, b, report, res)
					c.back(b.String())
				})
			}
			for _, b := range faults(clean.Points, turn) {
				try(b)
			}
			// Not every run opens the same files: threads come and go, and are looked at once more when others were born.
			for _, p := range clean.Points {
				if done[p.Call] == 0 && tries < 2*len(met) {
					try(blow{p.kind(), 1, p.waysToFail()[0]})
				}
			}
			fmt.Printf("%s: %d faults in %d kinds of calls, %d of them told to the engine\n", stage.name, sum(done), len(done), told)
			// A call that a stage makes now and then, for a thread that somebody else has just started, fails in another.
			for name := range met {
				if failed[name] = failed[name] || done[name] > 0; done[name] == 0 {
					missed[name] = stage.name
				}
			}
		})
	}
	for name, stage := range missed {
		if !failed[name] {
			t.Errorf("%s, met in %s, never failed: it needs a case in calls", name, stage)
		}
	}
}

func sum(counts map[string]int) (n int) {
	for count := range maps.Values(counts) {
		n += count
	}
	return n
}

// faults chooses calls and how they fail: of each system call one, of another file and in another way in each stage; with
// -faults=files each file once, with -faults=all in every way, and of one that is met often a sample.
func faults(points []point, turn int) []blow {
	total, ways, kinds := map[string]int{}, map[string][]string{}, map[string][]string{}
	var calls, order []string
	for _, p := range points {
		kind := p.kind()
		if total[kind]++; total[kind] > 1 {
			continue
		}
		order, ways[kind] = append(order, kind), p.waysToFail()
		if kinds[p.Call] = append(kinds[p.Call], kind); len(kinds[p.Call]) == 1 {
			calls = append(calls, p.Call)
		}
	}
	var chosen []blow
	for i, kind := range order {
		switch *faultsOf {
		case "files":
			chosen = append(chosen, blow{kind, 1 + i%total[kind], ways[kind][i%len(ways[kind])]})
		case "all":
			every := (total[kind] + most - 1) / most
			for n := 1; n <= total[kind]; n += every {
				for _, how := range ways[kind] {
					chosen = append(chosen, blow{kind, n, how})
				}
			}
		}
	}
	if *faultsOf != "calls" {
		return chosen
	}
	for _, call := range calls {
		kind := kinds[call][(turn*5)%len(kinds[call])]
		chosen = append(chosen, blow{kind, 1 + turn%total[kind], ways[kind][turn%len(ways[kind])]})
	}
	return chosen
}

// judge wants a true error, or the work done in full.
func (c *crash) judge(s stage, b blow, report report, res rig.Result) {
	c.Helper()
	if !report.Hit {
		c.Logf("this run had fewer of them")
	}
	said := res.Stderr + report.Stderr
	if strings.Contains(said, "goroutine ") {
		c.Errorf("%v: it crashed: %s", b, said)
	}
	if s.always != nil {
		if err := s.always(c); err != nil {
			c.Errorf("%v: %v\n%s", b, err, res)
		}
	}
	ours := strings.Contains(said, "rtshield: ")
	if res.Code != 0 {
		if !ours {
			c.Errorf("%v: no line of ours: %s", b, res)
		}
		return
	}
	if err := s.whole(c); err != nil && !(s.quiet && ours) {
		c.Errorf("%v: it said nothing, but %v\n%s", b, err, res)
	}
}

// back wants the host as before after one reconcile.
func (c *crash) back(when string) {
	c.Helper()
	defer func() {
		if c.Failed() {
			c.Restore()
		}
	}()
	c.cleared()
	c.Must(c.Shield("reconcile"))
	c.AsBefore(when + ", after reconcile")
	c.Gone(when)
}

// comparable leaves out what differs from one container to the next.
func comparable(grant shield.Grant) shield.Grant {
	grant.Owner, grant.Created, grant.Start = shield.Owner{}, time.Time{}, nil
	if grant.Helper != (shield.Owner{}) {
		grant.Helper = shield.Owner{PID: 1} // another one each time
	}
	return grant
}

// isShielded compares the container with one that no blow has touched.
func (c *crash) isShielded() error {
	if err := c.staysShielded(); err != nil {
		return err
	}
	if now := comparable(c.Grant(id)); !reflect.DeepEqual(now, c.granted) && len(now.Limits) <= len(c.granted.Limits) {
		return fmt.Errorf("it was granted\n%+v, not\n%+v", now, c.granted)
	}
	named := c.Must(c.Shield("status")).Stdout
	for line := range strings.Lines(c.Must(c.Shield("reconcile")).Stdout) {
		path, _, changed := strings.Cut(line, ": ")
		if changed && strings.HasPrefix(path, "/") && !strings.Contains(named, path) && !namedIRQ(named, path) {
			return fmt.Errorf("reconcile still had something to do: %sand status did not say so:\n%s", line, named)
		}
	}
	return nil
}

// namedIRQ: status names interrupts by number, and only those that have a handler and so can arrive.
func namedIRQ(status, path string) bool {
	number := numbers.FindString(path)
	actions, err := os.ReadFile("/sys/kernel/irq/" + number + "/actions")
	return strings.HasPrefix(path, "/proc/irq/"+number+"/") &&
		(strings.Contains(status, "irq "+number+" ") || err == nil && strings.TrimSpace(string(actions)) == "")
}

// staysShielded looks at the policy and the CPUs of the container's first process.
func (c *crash) staysShielded() error {
	grant := c.Grant(id)
	attr, err := unix.SchedGetAttr(grant.Owner.PID, 0)
	switch {
	case err != nil:
		return fmt.Errorf("its process: %w", err)
	case attr.Policy != unix.SCHED_FIFO || attr.Priority != 50:
		return fmt.Errorf("it has policy %d, priority %d", attr.Policy, attr.Priority)
	case c.Allowed(grant.Owner.PID) != "1":
		return fmt.Errorf("it may run on CPU %s", c.Allowed(grant.Owner.PID))
	}
	return nil
}

// isOver: nothing is left of the container.
func (c *crash) isOver() error {
	if changed := c.Changed(); len(changed) > 0 {
		return errors.New(strings.Join(changed, "\n"))
	}
	if ledger := c.Ledger(); ledger != nil {
		return fmt.Errorf("there is a ledger: %+v", ledger)
	}
	return nil
}

// isOverOrAlive: one of which cannot be told whether it lives keeps what it has.
func (c *crash) isOverOrAlive() error {
	if ledger := c.Ledger(); ledger != nil && len(ledger.Grants) == 1 {
		return nil
	}
	return c.isOver()
}

// isReleasedOrNoted: state tells nobody what is left to do, since engines read its answer from stdout and stderr together. Its
// container has ended, and is still there.
func (c *crash) isReleasedOrNoted() error {
	if c.Ledger() != nil {
		return nil
	}
	if res := c.OCI("delete", id); res.Code != 0 {
		return errors.New(res.Stderr)
	}
	return c.isOver()
}

func (c *crash) hasMemory() error {
	for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
		text, err := os.ReadFile(rig.Cgroup("memory", rig.CgroupParent+"/"+id, file))
		if err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(memory) {
			return nil
		}
	}
	return errors.New("its memory is not what the update said")
}

// keptApart: the ordinary container is not on the other one's CPU.
func (c *crash) keptApart() error {
	if cpus := c.neighbourCPUs(); cpus != "0" {
		return fmt.Errorf("the ordinary container has CPU %s", cpus)
	}
	return c.staysShielded()
}

// widens: the ordinary container gets what the update asked for when the other one ends.
func (c *crash) widens() error {
	c.Must(c.OCI("delete", "--force", id))
	if cpus := c.neighbourCPUs(); cpus != "0-1" {
		return fmt.Errorf("the ordinary container has CPU %s after the other one's end", cpus)
	}
	return nil
}

func (c *crash) neighbourCPUs() string {
	c.Helper()
	return c.Text(rig.Cgroup("cpuset", rig.CgroupParent+"/"+neighbour, "cpuset.cpus"))
}

// A list of ways to fail must name errnos.
func TestEveryWayToFailIsAnErrno(t *testing.T) {
	for _, call := range calls {
		for _, how := range slices.Concat(call.errnos, call.onKernel) {
			if how != short && errnoOf(how) == 0 {
				t.Errorf("%s: no errno is called %q", call.name, how)
			}
		}
		if len(call.errnos) == 0 {
			t.Errorf("%s has no way to fail", call.name)
		}
	}
}
