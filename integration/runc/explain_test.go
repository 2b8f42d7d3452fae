package runc_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/internal/shield"
)

type change struct{ Path, From, To string }

type explanation struct {
	Grant        *shield.Grant
	Config, Host []change
}

func explain(r *rig.Rig, bundle, id string) explanation {
	r.Helper()
	res := r.Must(r.Shield("--root", r.Root, "explain", "--bundle", bundle, "--id", id, "--json"))
	var e explanation
	if err := json.Unmarshal([]byte(res.Stdout), &e); err != nil {
		r.Fatalf("%v in %s", err, res)
	}
	return e
}

func TestExplainSaysWhatCreateThenDoesAndChangesNothing(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("web", rig.Class("fifo"), rig.Annotate("priority", "60"))
		raw, files, before := r.Raw(bundle), r.Files(bundle), snapshot.Take()
		text := r.Must(r.Shield("explain", "--bundle", bundle)).Stdout
		has(r, "explain", text, "grant: CPU 1", "fifo 60", "class fifo", "config.json:", "/proc/irq/default_smp_affinity: 0-1 → 0", "Nothing was changed",
			"\nwhy:\n", "annotation rtshield.io/class\n", "annotation rtshield.io/priority\n", "class fifo, built in\n", "automatic: all but the first core\n",
			"a partition takes cgroup v2 and Linux 6.7\n", r.Policy.Path+":2\n")
		foreseen := explain(r, bundle, "web")
		if r.Raw(bundle) != raw || !slices.Equal(r.Files(bundle), files) || exists(r.Policy.Ledger()) {
			r.Errorf("explain changed the bundle or made a ledger")
		}
		sameHost(r, "explain", before)

		pid := r.Create("web", bundle)
		r.Runs(pid, fifo50.policy, 60, shieldCPU)
		agrees(r, *foreseen.Grant, r.Grant("web"))
		hostAgrees(r, foreseen.Host, before, snapshot.Take())
		for _, c := range foreseen.Config {
			if path, appended := strings.CutSuffix(c.Path, "[+]"); !appended && c.To != "absent" && !strings.Contains(r.Raw(bundle), c.To) {
				r.Errorf("explain foresaw %s = %s, config.json does not have it", path, c.To)
			}
		}
		r.Must(r.OCI("start", "web"))
		r.End("web")
	})
}

// agrees compares what a decision settles; who owns it, where it lives and what was counted come later.
func agrees(r *rig.Rig, foreseen, real shield.Grant) {
	r.Helper()
	for _, limit := range real.Limits {
		if !slices.Contains(foreseen.Limits, limit) {
			r.Errorf("explain did not foresee the limit %s", limit)
		}
	}
	foreseen.Limits, real.Limits = nil, nil // explain adds those of the interrupts, which status computes
	for _, grant := range []*shield.Grant{&foreseen, &real} {
		grant.Owner, grant.Bound, grant.Created, grant.Cgroups = shield.Owner{}, false, foreseen.Created, shield.Cgroups{}
		grant.Start, grant.Helper, grant.Throttle = nil, shield.Owner{}, shield.Budget{}
	}
	x, _ := json.Marshal(foreseen)
	y, _ := json.Marshal(real)
	if string(x) != string(y) {
		r.Errorf("explain foresaw\n%s\nthe ledger has\n%s", x, y)
	}
}

// hostAgrees compares the foreseen changes with those that happened. An interrupt that the kernel keeps is foreseen
// where only trying tells.
func hostAgrees(r *rig.Rig, foreseen []change, before, after snapshot.Snapshot) {
	r.Helper()
	want := map[string]string{}
	for _, c := range foreseen {
		if strings.HasPrefix(c.Path, "/") {
			want[c.Path] = c.To
		}
	}
	got := map[string]string{}
	for path, now := range after {
		was, there := before[path]
		switch {
		case there && was == now, !there && !strings.HasSuffix(path, "cpu.rt_runtime_us"):
		case strings.HasSuffix(path, "cpumask") && !strings.HasPrefix(path, "/proc/sys"), path == "/proc/irq/default_smp_affinity": // a mask: 1 is CPU 0
			got[path] = map[string]string{"1": "0"}[now]
		default:
			got[path] = now
		}
	}
	if !maps.Equal(want, got) {
		for _, path := range slices.Sorted(maps.Keys(want)) {
			if want[path] != got[path] {
				r.Errorf("%s: explain foresaw %q, it is %q", path, want[path], got[path])
			}
		}
		for _, path := range slices.Sorted(maps.Keys(got)) {
			if _, foreseen := want[path]; !foreseen {
				r.Errorf("%s became %q, which explain did not foresee", path, got[path])
			}
		}
	}
}

func TestExplainOfARefusalSaysWhatCreateSays(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		bundle := r.Bundle("bad", rig.Class("fifo"), rig.Annotate("priority", "99"))
		said := r.OCI("create", "--bundle", bundle, "bad").Stderr
		res := r.Shield("--root", r.Root, "explain", "--bundle", bundle, "--id", "bad")
		refused(r, res, "priority 99", "at most 80")
		if res.Stderr != said {
			r.Errorf("explain says %q, create %q", res.Stderr, said)
		}
		has(r, "explain of an ordinary bundle", r.Must(r.Shield("explain", "--bundle", r.Bundle("o"))).Stdout, "an ordinary container")
	})
}
