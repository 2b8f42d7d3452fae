//go:build vmguest

package guest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/integration/threads"
	"github.com/rtshield/rtshield/internal/shield"
)

// The ordinary part is the container's own here: a partition covers both, where there are any.
func TestThreadsRunAsTheirRulesSay(t *testing.T) {
	onRunc(t, func(r *rig) {
		named, err := threads.New(r.dir+"/threads", "/usr/local/bin/named")
		if err != nil {
			r.Fatal(err)
		}
		pid := r.begin("run", "a", class("fifo"), named.Edit,
			annotate("cpus", "3", "smt", "prefer", "realtime-mask", "^0", "threads", "ctl-*=fifo:80@0, io-*=rr:40@1"))
		grant := r.grant("a")
		all := grant.CPUs.List()
		if len(all) != 3 || grant.Ordinary.String() != fmt.Sprint(all[0]) {
			r.Fatalf("granted CPU %s, ordinary %s", grant.CPUs, grant.Ordinary)
		}
		ordinary, realTime := fmt.Sprintf("OTHER 0 on %d", all[0]), cpuset.New(all[1:]...)
		// What the program raises itself is its own affair.
		placed := map[string]string{
			"ctl-0": fmt.Sprintf("FIFO 80 on %d", all[1]), "io-0": fmt.Sprintf("RR 40 on %d", all[2]), "log": ordinary, "named": ordinary,
			"own": "FIFO 30 on " + realTime.String(),
		}
		r.eventually(func() error { return threads.Differ(pid, placed) })
		if grant.Level == shield.LevelPartition {
			if now := r.knob("a", "cpuset.cpus.partition"); now != shield.Root {
				r.Errorf("cpuset.cpus.partition is %q", now)
			}
		}
		environ := strings.ReplaceAll(text(r, fmt.Sprintf("/proc/%d/environ", pid)), "\x00", " ") + " "
		r.contains("the environment", environ, "RTSHIELD_RT_CPUS="+realTime.String()+" ", fmt.Sprintf("RTSHIELD_ORDINARY_CPUS=%d ", all[0]))
		late := func(when string) {
			r.Helper()
			waits, err := named.Late(pid, patience)
			if err != nil || len(waits) != 8 || waits[7] > 2*time.Second {
				r.Errorf("%s: threads that are born or renamed waited %v for their places, %v", when, waits, err)
			}
			r.Logf("$ %s: %v", when, waits)
		}
		late("at first")

		state := r.dir + "/state"
		watchers := threads.Watchers(state)
		if len(watchers) != 1 {
			r.Fatalf("watchers %v, want one", watchers)
		}
		house := r.status().Layout.Housekeeping
		if place, err := threads.Place(watchers[0]); err != nil || place != "OTHER 0 on "+house.String() {
			r.Errorf("the watcher is %s, %v", place, err)
		}
		testhost.Kill9(r, watchers[0])
		testhost.Ended(r, patience, watchers[0])
		if err := threads.Differ(pid, placed); err != nil {
			r.Errorf("the watcher was killed: %v", err)
		}
		out := r.must(r.oci("exec", "a", "/bin/cat", "/proc/self/status")).out
		r.contains("the status of what exec adds", out, fmt.Sprintf("Cpus_allowed_list:\t%d\n", all[0]))
		late("after exec has started it again")

		if err := named.Spin(pid); err != nil {
			r.Fatal(err)
		}
		r.eventually(func() error {
			return threads.Differ(pid, map[string]string{"ctl-spin": fmt.Sprintf("FIFO 80 on %d", all[1])})
		})
		r.must(r.oci("exec", "a", "/bin/true"))
		r.end("a")
		r.eventually(func() error {
			if left := threads.Watchers(state); len(left) > 0 {
				return fmt.Errorf("watchers %v", left)
			}
			return nil
		})
		r.asBefore("after delete")
	})
}

// crun runs its poststart hook, which reads everything back, once the program runs: its first thread may have a rule by then.
func TestRulesHoldWithoutAMask(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		named, err := threads.New(r.dir+"/threads", "/usr/local/bin/named")
		if err != nil {
			r.Fatal(err)
		}
		pid := r.begin("run", "a", class("fifo"), named.Edit, annotate("threads", "ctl-*=fifo:80@0, log=other, named=batch"))
		cpu := r.grant("a").CPUs
		r.eventually(func() error {
			return threads.Differ(pid, map[string]string{"ctl-0": "FIFO 80 on " + cpu.String(), "log": "OTHER 0 on " + cpu.String(), "named": "BATCH 0 on " + cpu.String()})
		})
		r.end("a")
		r.asBefore("after delete")
	})
}
