//go:build vmguest

package guest_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/model"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/internal/shield"
)

var (
	seed  = flag.Uint64("seed", 0, "play only the random game with this seed")
	steps = flag.Int("steps", 200, "how many steps a random game has")
	with  = flag.String("with", "runc", "the delegate of a random game, runc or crun")
)

func TestNothingIsLostOrLeftInAnyOrder(t *testing.T) {
	i := slices.IndexFunc(delegates, func(delegate runtime) bool { return filepath.Base(delegate.path) == *with })
	if i < 0 {
		t.Fatalf("-with %s: there is %+v", *with, delegates)
	}
	shownOn(t, "6.12") // and by `make test` on its host
	r := newRig(t, delegates[i])
	if isolated(r) {
		r.Skip("elsewhere: so many steps are played on one kernel")
	}
	p, before := &player{rig: r}, r.before
	r.Cleanup(func() { r.before = before }) // with the parents gone
	for _, dir := range p.Parents()[1:] {
		p.mkdir(dir)
	}
	r.before = snapshot.TakeHost()
	number := *seed
	if number == 0 {
		number = rand.Uint64()
	}
	model.Play(p, number, *steps)
}

// player is a rig as the model plays on it.
type player struct {
	*rig
	spread map[string]string // what Spread found, and what it read before
}

func (p *player) Plug(cpu int) { p.Helper(); plug(p, cpu) }

// Spread tries it once, without a container.
func (p *player) Spread() []string {
	p.Helper()
	files, _ := filepath.Glob("/proc/irq/*/smp_affinity_list")
	before := map[string]string{}
	for _, file := range files {
		before[file] = text(p, file)
	}
	for _, cpu := range topology(p).Online.List()[1:] {
		plug(p, cpu)
	}
	p.spread = map[string]string{}
	for file, was := range before {
		if text(p, file) != was {
			p.spread[file] = was
		}
	}
	p.heal()
	return slices.Collect(maps.Keys(p.spread))
}

// heal writes what hotplug has spread back.
func (p *player) heal() {
	p.Helper()
	for file, was := range p.spread {
		p.put(file, was)
	}
}

func (p *player) Parents() []string { return []string{parent, parent + "/c", "/pods/b"} }

// mkdir makes a parent with all that its own has, until the test ends.
func (p *player) mkdir(dir string) {
	p.Helper()
	for _, hierarchy := range hierarchies() {
		err := os.Mkdir(hierarchy+dir, 0o755)
		if unified() {
			err = errors.Join(err, enable(dir))
		}
		if err != nil {
			p.Fatal(err)
		}
		p.Cleanup(func() { p.eventually(func() error { return os.Remove(hierarchy + dir) }) })
	}
	if !unified() {
		if err := inherit(cpusetMount() + dir); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *player) Key(id string) shield.Key { return shield.Key{Root: p.root, ID: id} }

func (p *player) Ledger() *shield.Ledger {
	p.Helper()
	data, err := os.ReadFile(p.ledger)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ledger := &shield.Ledger{}
	if err == nil {
		err = json.Unmarshal(data, ledger)
	}
	if err != nil {
		p.Fatal(err)
	}
	return ledger
}

func (p *player) wish(id string, wish model.Wish) string {
	return p.bundle(id, args(model.Program...), func(s *specs.Spec) {
		s.Linux.CgroupsPath = wish.Parent + "/" + id
		if wish.CPUs != "" {
			cpus(wish.CPUs)(s)
		}
		if wish.Class != "" {
			class(wish.Class)(s)
		}
		for key, value := range wish.Choices {
			annotate(key, value)(s)
		}
	})
}

func (p *player) Create(id string, wish model.Wish) (int, string) {
	pid, result := p.try("create", id, p.wish(id, wish))
	if result.code != 0 {
		return 0, result.stderr
	}
	return pid, ""
}

func (p *player) Abort(id string, wish model.Wish, after time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*after) // an emulated CPU is slow
	defer cancel()
	file := filepath.Join(p.dir, "pid-"+id)
	cmd := exec.CommandContext(ctx, rtshield, "--root", p.root, "create", "--bundle", p.wish(id, wish), "--pid-file", file, id)
	cmd.Env = append(os.Environ(), p.env...)
	_ = cmd.Run()
	p.oci("delete", "--force", id) // fails where the delegate does not know it yet
	p.eventually(func() error {
		var problems []error
		for _, hierarchy := range hierarchies() {
			dir := hierarchy + wish.Parent + "/" + id
			procs, _ := os.ReadFile(dir + "/cgroup.procs")
			for _, pid := range strings.Fields(string(procs)) {
				kill(pid)
			}
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				problems = append(problems, err)
			}
		}
		return errors.Join(problems...)
	})
	_ = os.RemoveAll(p.root + "/" + id)
	if pid, err := strconv.Atoi(strings.TrimSpace(readOr(file))); err == nil {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

func readOr(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func (p *player) Do(verb string, args ...string) {
	p.Helper()
	if verb == "reconcile" {
		p.must(p.command(verb))
		return
	}
	p.must(p.oci(append([]string{verb}, args...)...))
}

func (p *player) Try(verb string, args ...string) string {
	p.Helper()
	if res := p.oci(append([]string{verb}, args...)...); res.code != 0 {
		return res.stderr
	}
	return ""
}

func (p *player) Gone(id string) {
	p.Helper()
	select {
	case <-p.gone[id]:
	case <-time.After(patience):
		p.Fatal(fmt.Errorf("container %s has not ended", id))
	}
}

func (p *player) AsBefore(when string) {
	p.Helper()
	p.heal()
	p.emptyAgain()
	p.asBefore(when)
}

// emptyAgain knows that 6.12 does not let a populated cpuset become empty again, which is all that its parent has: one that
// had to do without some CPUs while an ordinary container was in it names all of them since.
func (r *rig) emptyAgain() {
	r.Helper()
	full := topology(r).Online.String()
	for _, dir := range []string{"/pods", parent, parent + "/c", "/pods/b"} {
		file := cpusetMount() + dir + "/cpuset.cpus"
		if now, err := os.ReadFile(file); unified() && err == nil && strings.TrimSpace(string(now)) == full && r.cannotEmpty() != nil {
			r.Logf("limit: cpuset.cpus of a cgroup that has processes is %s afterwards and not empty as before: %v", full, unix.ENOSPC)
			if err := os.WriteFile(file, []byte("\n"), 0); err != nil {
				r.Error(err)
			}
		}
	}
}
