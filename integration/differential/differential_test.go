package differential

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
)

var only = flag.String("life", "", "play only lives with this in their name")

// rule is a difference that is wanted.
type rule struct {
	// fact is what differs, by the end of its name; ours is what rtshield shows. Where ours is nil, the same as runc but for
	// more is shown.
	fact, ours, more *regexp.Regexp
	// name stands in docs/differences.md, beside the reason.
	name string
}

func differs(name, fact, ours string) rule {
	return rule{name: name, fact: regexp.MustCompile(fact + "$"), ours: regexp.MustCompile("^(?s:" + ours + ")$")}
}

func adds(name, fact, more string) rule {
	return rule{name: name, fact: regexp.MustCompile(fact + "$"), more: regexp.MustCompile(more)}
}

// everywhere are the differences for every container, granted() those for a shielded one.
var everywhere = []rule{
	adds("`--version`", `\d --version: stdout`, `(?m)^rtshield .*\n`),
	differs("help", `\d+ (--help|help|): .*`, `.*`),
	differs("`status`, `explain`, `reconcile`", `\d+ status --nosuch: .*`, `.*`),
	differs("`create`, `run` and `restore` with a flag that rtshield cannot read", `\d+ (create --nosuch .*|create --bundle|create --bundle \$B -c|run --preserve-fds x .*): (stdout|stderr|log)`,
		`|.*rtshield: (create|run): .* \(if this is a flag of a newer runtime.*`),
	adds("RTSHIELD_DEPTH", `: (rootfs/)?hooks`, `(?m)^RTSHIELD_DEPTH=1\n`),
}

// onV1 and onV2 are those of its cgroups.
var (
	onV1 = []rule{
		differs("cpuset.cpus", `: cgroup cpuset/rtshield-test/a/c/cpuset.cpus`, `1`),
		differs("cpu.rt_runtime_us", `: cgroup cpu\S*/rtshield-test/\S*cpu.rt_runtime_us`, `[1-9]\d+`),
		differs("swap", `: cgroup memory/rtshield-test/a/c/memory.swappiness`, `0`),
	}
	onV2 = []rule{
		differs("cpuset.cpus", `: cgroup rtshield-test/a/c/cpuset.cpus`, `1`),
		differs("cpuset.cpus.partition", `: cgroup rtshield-test/a/c/cpuset.cpus.partition`, `isolated`),
		differs("cpuset.cpus.exclusive", `: cgroup rtshield-test/(a/)?(c/)?cpuset.cpus.exclusive`, `1`),
		differs("cpuset.mems", `: cgroup rtshield-test/a/c/cpuset.mems`, `0`),
		differs("swap", `: cgroup rtshield-test/a/c/memory.swap.max`, `0`),
	}
)

func granted() []rule {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return slices.Concat(everywhere, ofShielded("partition"), onV2)
	}
	return slices.Concat(everywhere, ofShielded("cpuset"), onV1)
}

func ofShielded(level string) []rule {
	return []rule{
		differs("affinity", `: process Cpus_allowed_list`, `1`),
		differs("policy", `: process policy`, `policy 1, priority 50, nice 0, flags 0`),
		differs("timer slack", `: process timerslack_ns`, `0\n`),
		differs("`create` of an id that has a grant", `\d+ (create|run) .* c: (stderr|log)`, `.*rtshield: container with given ID already exists: c.*`),
		differs("environment", `: environment RTSHIELD_CPUS`, `1`),
		differs("environment", `: environment RTSHIELD_CLASS`, `fifo`),
		differs("environment", `: environment RTSHIELD_LEVEL`, level),
		adds("environment", `: (stdout|hooks|rootfs/hooks)`, `(?m)^RTSHIELD_(CPUS=1|CLASS=fifo|LEVEL=`+level+`|DEPTH=1)\n`),
		differs("limits", `: limit Max (realtime priority|locked memory)`, `.*`),
		differs("config.json", `: bundle config.json`, `.*"RTSHIELD_CPUS=1".*`),
		differs("config.json", `: bundle config.json.rtshield`, `.*`),
	}
}

// explains says whether a difference is wanted.
func (r rule) explains(name, runc, shown string) bool {
	if !r.fact.MatchString(name) {
		return false
	}
	if r.more != nil {
		return r.more.ReplaceAllString(shown, "") == runc
	}
	return r.ours.MatchString(shown)
}

// compare reports what differs without a rule, and marks the rules that were needed.
func compare(r *rig.Rig, who string, runc, shown facts, rules []rule, used map[string]bool) {
	r.Helper()
	names := slices.Collect(maps.Keys(runc))
	for name := range shown {
		if _, both := runc[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, there := runc[name]
		is, here := shown[name]
		if was == is && there == here {
			continue
		}
		i := slices.IndexFunc(rules, func(rule rule) bool { return rule.explains(name, was, is) })
		if i < 0 {
			r.Errorf("%s: %s\n  runc     %v %q\n  rtshield %v %q", who, name, there, was, here, is)
			continue
		}
		used[rules[i].name] = true
	}
}

// play plays a life with one program, from an empty directory to one.
func play(r *rig.Rig, program string, l life) facts {
	r.Helper()
	p := &player{Rig: r, program: program, dir: filepath.Join(r.Dir, "life"), facts: facts{}}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		r.Fatal(err)
	}
	p.bundle = r.Bundle(id, l.edits...)
	config := filepath.Join(p.bundle, "config.json")
	text := strings.ReplaceAll(r.Raw(p.bundle), "HERE", p.dir)
	if err := errors.Join(os.WriteFile(config, []byte(text), 0o644), os.Symlink(p.bundle, filepath.Join(p.dir, "bundle")),
		os.Symlink(filepath.Join(r.Dir, "rootfs"), filepath.Join(p.dir, "rootfs"))); err != nil {
		r.Fatal(err)
	}
	for _, mount := range p.mounts() { // runc makes them, and treats those that were there otherwise
		if err := os.MkdirAll(filepath.Join(r.Dir, "rootfs", mount), 0o755); err != nil {
			r.Fatal(err)
		}
	}
	r.Track(id)
	p.play(l.steps)
	r.OCI("delete", "--force", id)
	r.Gone(l.name)
	if err := errors.Join(os.RemoveAll(p.dir), os.RemoveAll(p.bundle), os.RemoveAll(filepath.Join(r.Dir, "rootfs", "hooks"))); err != nil {
		r.Fatal(err)
	}
	rig.Clear(r, rig.CgroupParent+"/"+id) // runc 1.1 may leave it behind
	return p.facts
}

func (p *player) mounts() []string {
	places := []string{"gpu"}
	for _, mount := range p.Config(p.bundle).Mounts {
		places = append(places, mount.Destination)
	}
	return places
}

func each(t *testing.T, test func(r *rig.Rig, used map[string]bool)) {
	t.Helper()
	rig.Each(t, func(r *rig.Rig) { test(r, map[string]bool{}) })
}

func shieldedBy(r *rig.Rig) string {
	r.Helper()
	link := filepath.Join(r.Dir, "rtshield-fifo")
	if err := os.Symlink(r.Rtshield, link); err != nil {
		r.Fatal(err)
	}
	return link
}

func TestNoLifeShowsADifferenceThatIsNotExplained(t *testing.T) {
	each(t, func(r *rig.Rig, used map[string]bool) {
		link := shieldedBy(r)
		own := life{name: "what rtshield answers itself", ordinary: true}
		for _, words := range ours {
			own.steps = append(own.steps, call{words: words, bare: true}.step())
		}
		for _, l := range append(append(slices.Clone(lives), errorLife(), own), brokenLives()...) {
			if !strings.Contains(l.name, *only) {
				continue
			}
			runc := play(r, r.Runc, l)
			if len(runc) < 4 {
				r.Errorf("%s has shown only %q", l.name, runc)
			}
			compare(r, l.name+", ordinary", runc, play(r, r.Rtshield, l), everywhere, used)
			if !l.ordinary {
				compare(r, l.name+", shielded", runc, play(r, link, l), granted(), used)
				r.AsBefore(l.name)
			}
		}
		if *only == "" {
			checkRules(r, used)
		}
	})
}

// checkRules fails for a difference that is listed and does not exist, or is not in the documents.
func checkRules(r *rig.Rig, used map[string]bool) {
	r.Helper()
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		r.Fatal(err)
	}
	for _, rule := range granted() {
		if !strings.Contains(string(text), "\n| "+rule.name+" |") {
			r.Errorf("docs/differences.md does not name %s", rule.name)
		}
		if !used[rule.name] && rule.name != "limits" && rule.name != "swap" { // these are what a host has and allows
			r.Errorf("%s is listed as a difference, and there is none", rule.name)
		}
	}
}
