package runc_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/integration/model"
	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
	"github.com/rtshield/rtshield/internal/shield"
)

var (
	seed  = flag.Uint64("seed", 0, "play only the random game with this seed")
	steps = flag.Int("steps", 200, "how many steps a random game has")
)

// One CPU is to be had here: most are refused, and the others come and go under shared ancestors.
func TestNothingIsLostOrLeftInAnyOrder(t *testing.T) {
	seeds := []uint64{1, rand.Uint64()}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for i, seed := range seeds {
		t.Run([]string{"fixed seed", "fresh seed"}[i], func(t *testing.T) {
			r := rig.New(t, testhost.Runc(t), testhost.Options{})
			for _, dir := range parents[1:] {
				rig.MakeCgroup(r, dir)
			}
			r.Begin()
			model.Play(&player{Rig: r, pids: map[string]int{}}, seed, *steps)
		})
	}
}

var parents = []string{rig.CgroupParent, "/rtshield-test/b", "/rtshield-test/a/c"}

// player is a rig as the model plays on it.
type player struct {
	*rig.Rig
	pids map[string]int
}

func (p *player) Parents() []string { return parents }

func (p *player) Key(id string) shield.Key { return shield.Key{Root: p.Root, ID: id} }

func (p *player) bundle(id string, wish model.Wish) string {
	return p.Bundle(id, rig.Args(model.Program...), func(s *specs.Spec) {
		s.Linux.CgroupsPath = wish.Parent + "/" + id
		if wish.CPUs != "" {
			rig.CPUs(wish.CPUs)(s)
		}
		if wish.Class != "" {
			rig.Class(wish.Class)(s)
		}
		for key, value := range wish.Choices {
			rig.Annotate(key, value)(s)
		}
	})
}

func (p *player) Create(id string, wish model.Wish) (int, string) {
	res, pid := p.TryBegin("create", id, p.bundle(id, wish))
	if res.Code != 0 {
		return 0, res.Stderr
	}
	p.pids[id] = pid
	return pid, ""
}

func (p *player) Abort(id string, wish model.Wish, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), after) // SIGKILL
	defer cancel()
	p.Track(id)
	file := filepath.Join(p.Dir, "pid-"+id)
	_ = p.Command(ctx, p.Rtshield, "--root", p.Root, "create", "--bundle", p.bundle(id, wish), "--pid-file", file, id).Run()
	p.Adopt(file)
	p.OCI("delete", "--force", id) // fails where runc does not know it yet
	rig.Clear(p.Rig, wish.Parent+"/"+id)
	_ = os.RemoveAll(filepath.Join(p.Root, id))
}

func (p *player) Do(verb string, args ...string) {
	p.Helper()
	if verb == "reconcile" {
		p.Must(p.Shield(verb))
		return
	}
	res := p.OCI(append([]string{verb}, args...)...)
	if verb == "delete" && strings.Contains(res.Stderr, "unable to remove container's cgroup") {
		// runc waits 0.3 s for the last of its processes, which a loaded host may take longer for: engines call again.
		p.Log(res)
		res = p.OCI(append([]string{verb}, args...)...)
	}
	p.Must(res)
}

func (p *player) Try(verb string, args ...string) string {
	p.Helper()
	if res := p.OCI(append([]string{verb}, args...)...); res.Code != 0 {
		return res.Stderr
	}
	return ""
}

func (p *player) Gone(id string) {
	p.Helper()
	pid := p.pids[id]
	p.Eventual(func() error {
		if exists(fmt.Sprintf("/proc/%d", pid)) {
			return fmt.Errorf("%s: pid %d is still there", id, pid)
		}
		return nil
	})
}
