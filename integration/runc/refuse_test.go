package runc_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

// refusals are bundles that must not start, with what the one line says.
var refusals = []struct {
	name  string
	edits []rig.Edit
	words []string
}{
	{"a priority above the ceiling", with("fifo", "priority", "99"), []string{"rtshield.io/priority", "99", "class fifo", "at most 80"}},
	{"a misspelt key", with("fifo", "prioritty", "10"), []string{"rtshield.io/prioritty", "no such key", "rtshield.io/priority"}},
	{"no CPU", with("fifo", "cpus", "0"), []string{"rtshield.io/cpus", `"0"`, "whole CPUs"}},
	{"CPUs in words", with("fifo", "cpus", "two"), []string{"rtshield.io/cpus", `"two"`, "whole CPUs"}},
	{"more CPUs than the class allows", with("fifo", "cpus", "9999"), []string{"9999 CPUs", "class fifo", "at most 4"}},
	{"more CPUs than the shield has", with("fifo", "cpus", "2"), []string{"2 CPUs", "the shield has 1", "widen"}},
	{"a housekeeping CPU", with("fifo", "cpuset", "0"), []string{"CPU 0", "not in the shield", "(1)"}},
	{"a cpuset of garbage", with("fifo", "cpuset", "1-x"), []string{"rtshield.io/cpuset", `"1-x"`, "list of CPUs"}},
	{"cpus and cpuset that contradict", with("fifo", "cpus", "2", "cpuset", "1"), []string{"rtshield.io/cpus", "2 CPUs", "rtshield.io/cpuset", "agree"}},
	{"a class that is not there", with("gold"), []string{`"gold"`, "does not have", "fifo"}},
	{"an annotation without class", []rig.Edit{rig.Annotate("priority", "10")}, []string{"rtshield.io/priority", "without a class"}},
	{"a deadline of bad form", with("deadline", "deadline", "1ms"), []string{"rtshield.io/deadline", `"1ms"`, "runtime/deadline/period"}},
	{"a deadline after its period", with("deadline", "deadline", "1ms/3ms/2ms"), []string{"rtshield.io/deadline", "runtime ≤ deadline ≤ period"}},
	{"a policy above the class", with("batch", "policy", "fifo"), []string{"policy fifo", "above class batch"}},
	{"a policy that is not there", with("fifo", "policy", "best"), []string{"rtshield.io/policy", `"best"`, "expected one of fifo"}},
	{"huge pages of bad form", with("fifo", "hugepages", "2Mi"), []string{"rtshield.io/hugepages", `"2Mi"`, "1Gi=2, 2Mi=64"}},
	{"huge pages of a size that is not there", with("fifo", "hugepages", "128Mi=1"), []string{"huge pages of 128Mi", "none of that size", "2Mi"}},
	{"a sleep of bad form", with("fifo", "cstates", "deep"), []string{"rtshield.io/cstates", `"deep"`, `"keep", "off"`, "20us"}},
	{"a sleep of nothing", with("fifo", "cstates", "0"), []string{"rtshield.io/cstates", `"0"`, "exit latency"}},
	{"a governor of bad form", with("fifo", "governor", "../x"), []string{"rtshield.io/governor", `"../x"`, "scaling_available_governors"}},
	{"a scheduler above the ceiling", []rig.Edit{scheduler(specs.SchedFIFO, 99)}, []string{"process.scheduler.priority", "99", "at most 80"}},
	{"a scheduler above its class", []rig.Edit{rig.Class("batch"), scheduler(specs.SchedFIFO, 10)}, []string{"process.scheduler.policy", "above class batch"}},
	{"a limit above the ceiling", []rig.Edit{rig.Class("fifo"), rtprio(99)}, []string{"RLIMIT_RTPRIO 99", "ceiling of class fifo, 80"}},
}

func with(class string, pairs ...string) []rig.Edit {
	return []rig.Edit{rig.Class(class), rig.Annotate(pairs...)}
}

func scheduler(policy specs.LinuxSchedulerPolicy, priority int32) rig.Edit {
	return func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: policy, Priority: priority} }
}

func rtprio(n uint64) rig.Edit {
	return func(s *specs.Spec) {
		s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_RTPRIO", Hard: n, Soft: n})
	}
}

func TestEachWrongRequestHasItsOwnLineAndChangesNothing(t *testing.T) {
	rig.EachRunc(t, func(t *testing.T, runc string) {
		r := rig.New(t, runc, testhost.Options{})
		said := map[string]string{}
		for i, refusal := range refusals {
			line := refusedWhole(r, refusal.name, []string{"json", "text"}[i%2], r.Rtshield, r.Bundle("b"+string(rune('a'+i)), refusal.edits...), refusal.words...)
			if other, twice := said[line]; twice {
				t.Errorf("%s and %s are told the same: %s", refusal.name, other, line)
			}
			said[line] = refusal.name
		}
	})
}

// refusedWhole wants a bundle refused by create with one line on stderr and in the log, and nothing changed anywhere.
func refusedWhole(r *rig.Rig, name, format, program, bundle string, words ...string) string {
	r.Helper()
	log := filepath.Join(r.Dir, "log-"+filepath.Base(bundle))
	config, files, host := r.Raw(bundle), r.Files(bundle), snapshot.Take()
	res := r.Program(program, "--root", r.Root, "--log", log, "--log-format", format, "create", "--bundle", bundle, "x")
	if res.Code != 1 || res.Stdout != "" || len(lines(res.Stderr)) != 1 || !strings.HasPrefix(res.Stderr, "rtshield: ") {
		r.Errorf("%s: not refused in one line with status 1: %s", name, res)
	}
	has(r, name, res.Stderr, words...)
	line := strings.TrimSpace(res.Stderr)
	logged(r, name, format, log, line)
	if r.Raw(bundle) != config || !slices.Equal(r.Files(bundle), files) {
		r.Errorf("%s: the bundle was changed: %q", name, r.Files(bundle))
	}
	if exists(r.Policy.Ledger()) {
		r.Errorf("%s: there is a ledger: %+v", name, r.Ledger())
	}
	if exists(filepath.Join(r.Root, "x")) {
		r.Errorf("%s: the delegate knows the container", name)
	}
	sameHost(r, name, host)
	return line
}

// logged wants the same words as one error line in the --log file, in the format asked for.
func logged(r *rig.Rig, name, format, log, line string) {
	r.Helper()
	data, err := os.ReadFile(log)
	if err != nil || len(lines(string(data))) != 1 {
		r.Errorf("%s: the log has %q, %v; want one line", name, data, err)
		return
	}
	if format == "text" {
		quoted, _ := json.Marshal(line)
		has(r, name+": the log", string(data), "level=error", strings.ReplaceAll(strings.Trim(string(quoted), `"`), `\u003c`, "<"))
		return
	}
	var entry struct{ Level, Msg, Time string }
	if err := json.Unmarshal(data, &entry); err != nil || entry.Level != "error" || entry.Msg != line || entry.Time == "" {
		r.Errorf("%s: the log has %s, %v; want the error %q", name, data, err, line)
	}
}

func TestTheNameOfTheRuntimeGivesTheClassAndAnAnnotationMustNotContradict(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		link := filepath.Join(r.Dir, "rtshield-rr")
		if err := os.Symlink(r.Rtshield, link); err != nil {
			r.Fatal(err)
		}
		refusedWhole(r, "contradiction", "json", link, r.Bundle("c", rig.Class("fifo")), `"fifo"`, "rtshield-rr", "gives class rr")
		bad := filepath.Join(r.Dir, "rtshield-gold")
		if err := os.Symlink(r.Rtshield, bad); err != nil {
			r.Fatal(err)
		}
		refusedWhole(r, "unknown", "json", bad, r.Bundle("g"), "rtshield-gold", "does not have")
		bundle := r.Bundle("n", rig.Args("/bin/sh", "-c", "echo $RTSHIELD_CLASS"))
		if res := r.Must(r.Program(link, "--root", r.Root, "run", "--bundle", bundle, "n")); res.Stdout != "rr\n" {
			r.Errorf("called as rtshield-rr it gives class %q", res.Stdout)
		}
		r.AsBefore("after run")
	})
}

func TestAnImageCannotAsk(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("img", func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "RTSHIELD_CLASS=fifo", "RTSHIELD_CPUS=1") })
		before := r.Raw(bundle)
		pid := r.Detach("img", bundle)
		r.Runs(pid, 0, 0, "0-1")
		if r.Raw(bundle) != before || exists(r.Policy.Ledger()) {
			r.Errorf("an environment variable changed config.json or the ledger")
		}
		r.End("img")
	})
}

func TestASecondLedgerOnTheHostIsRefused(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		pid := r.Create("first", r.Bundle("first", rig.Class("fifo")))
		dir := filepath.Join(r.Dir, "other")
		if err := os.Mkdir(dir, 0o755); err != nil {
			r.Fatal(err)
		}
		other := *r
		other.Policy = testhost.Policy(r, testhost.Options{Dir: dir, Delegates: []string{r.Runc}})
		other.Env, other.Root = []string{other.Policy.Env()}, filepath.Join(dir, "root")

		held := snapshot.TakeHost()
		res, _ := other.TryBegin("create", "second", other.Bundle("second", rig.Class("fifo")))
		if said := res.Stderr; res.Code == 0 || !strings.Contains(said, "the ledger in "+r.Policy.State+" has granted CPUs") ||
			!strings.Contains(said, "(CPU 1)") || !strings.Contains(said, "[runtime] state") {
			r.Errorf("%s", res)
		}
		r.Runs(pid, unix.SCHED_FIFO, 50, "1")
		for _, line := range held.Changed() {
			r.Error("by what was refused:", line)
		}

		r.End("first")
		other.Create("second", other.Bundle("again", rig.Class("fifo")))
		other.End("second")
		r.AsBefore("after both")
	})
}
