package crash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

// most is how many calls of one kind are killed before, such as writes to interrupts; of more, a sample.
const most = 30

func TestAKillAtAnyStepLeavesAHostThatTheNextOneBringsBack(t *testing.T) {
	r := rig.New(t, testhost.Runc(t), testhost.Options{Classes: reserving})
	c := newCrash(r, aPage)
	c.recovered("before the first kill", "next")
	for _, stage := range stages {
		if stage.onlyFaults {
			continue
		}
		t.Run(stage.name, func(t *testing.T) {
			clean := c.in(t).clean(stage)
			points := clean.changing()
			visited, kinds := 0, map[string]bool{}
			for i, k := range kills(points) {
				t.Run(fmt.Sprintf("%03d before %s no %d", i+1, k.kind, k.nth), func(t *testing.T) {
					report, res := c.in(t).step(stage, k)
					if (res.Code == 0) == report.Hit && !stage.quiet {
						t.Errorf("%v, hit %v: %s", k, report.Hit, res)
					}
					if !report.Hit {
						// How many threads are moved differs from run to run: this one ran through. What it made goes, too.
						t.Logf("this run had fewer of them")
						c.in(t).cleared()
						c.in(t).Settled("after a run without a kill")
						return
					}
					visited++
					kinds[k.kind] = true
					if stage.always != nil {
						if err := stage.always(c.in(t)); err != nil {
							t.Errorf("%v: %v", k, err)
						}
					}
					c.in(t).recovered(fmt.Sprintf("killed before %s", report.Points[len(report.Points)-1]), []string{"reconcile", "next"}[i%2])
				})
			}
			fmt.Printf("%s: killed before %d of %d calls, %d kinds\n", stage.name, visited, len(points), len(kinds))
			if visited < stage.least {
				t.Errorf("only %d kills, expected %d or more", visited, stage.least)
			}
			for _, p := range points {
				if !kinds[p.kind()] {
					t.Errorf("never killed before a %s", p.kind())
				}
			}
		})
	}
}

// in is the same crash for a sub-test.
func (c *crash) in(t *testing.T) *crash {
	r := *c.Rig
	r.TB = t
	copied := *c
	copied.Rig = &r
	return &copied
}

func (c *crash) step(s stage, b blow) (report, rig.Result) {
	c.Helper()
	if s.prepare != nil {
		s.prepare(c)
	}
	return s.play(c, b)
}

// clean is a stage without a blow. It finds the calls, and whether the test knows them all.
func (c *crash) clean(s stage) report {
	c.Helper()
	clean, res := c.step(s, blow{})
	c.Must(res)
	for _, ask := range []func(*crash) error{s.always, s.whole} {
		if ask == nil {
			continue
		}
		if err := ask(c); err != nil {
			c.Errorf("without a blow: %v", err)
		}
	}
	c.recovered("without a blow", "reconcile")
	if points := clean.changing(); len(points) < s.least {
		c.Fatalf("found only %d calls that change anything, expected %d or more: %v", len(points), s.least, points)
	}
	for number := range clean.Others {
		if !harmless[number] {
			c.Errorf("system call %d stands in no list: add it to calls or to harmless", number)
		}
	}
	return clean
}

// kills chooses the calls to be killed before: all, or of a kind with many the first two, the last and some.
func kills(points []point) []blow {
	seen, total := map[string]int{}, map[string]int{}
	for _, p := range points {
		total[p.kind()]++
	}
	var chosen []blow
	for _, p := range points {
		kind := p.kind()
		seen[kind]++
		n, every := seen[kind], (total[kind]+most-1)/most
		if n <= 2 || n == total[kind] || n%every == 0 {
			chosen = append(chosen, blow{kind, n, kill})
		}
	}
	return chosen
}

// recovered brings the host back, by a reconcile or by the next container, and wants it as before; then a new
// shielded run of the same bundle has to succeed.
func (c *crash) recovered(when, by string) {
	c.Helper()
	defer func() {
		if c.Failed() {
			c.Restore()
		}
	}()
	if !json.Valid([]byte(c.Raw(c.bundle))) {
		c.Errorf("%s: config.json is not JSON: %s", when, c.Raw(c.bundle))
	}
	c.cleared()
	if by == "reconcile" {
		c.Must(c.Shield("reconcile"))
		c.AsBefore(when + ", after reconcile")
	}
	c.runs(when)
	c.AsBefore(when + ", after the next container")
	c.Gone(when)
}

// cleared is what an engine does about a create that failed.
func (c *crash) cleared() {
	c.Helper()
	for _, id := range []string{id, neighbour} {
		c.Plain("delete", "--force", id)
	}
}

// runs runs the bundle in the foreground, with each of our hooks in it once.
func (c *crash) runs(when string) {
	c.Helper()
	c.Track("next")
	res := c.OCI("run", "--bundle", c.bundle, "next")
	if res.Code != 0 || res.Stdout != "CPU 1\n" {
		c.Errorf("%s: the next run: %s", when, res)
	}
	hooks := c.Config(c.bundle).Hooks
	if hooks == nil || len(hooks.CreateRuntime) != 1 || len(hooks.Poststart) > 1 || len(hooks.Poststop) != 1 {
		c.Errorf("%s: not each hook once: %+v", when, hooks)
	}
	for _, name := range c.Files(c.bundle) {
		if name != "config.json" && name != "config.json.rtshield" {
			c.Logf("%s: %s is left in the bundle", when, name) // half of a file that was to replace config.json
			_ = os.Remove(filepath.Join(c.bundle, name))
		}
	}
}
