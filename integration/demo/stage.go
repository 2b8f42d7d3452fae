package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/demo/bundle"
	"github.com/rtshield/rtshield/integration/demo/wake"
)

// stage is the set-up of one demo: a directory with bundles, and three ways.
type stage struct {
	options
	host
	dir     string
	rootfs  string
	ledger  string // rtshield's, of this demo alone
	ways    []*way
	shield  *way // the last of ways
	pinned  *way
	online  cpuset.CPUSet
	reached reach // interrupts that may reach the shielded CPUs during the run
}

func newStage(dir string, o options) (*stage, error) {
	program := func(name string) string { return filepath.Join(o.bin, name) }
	for _, name := range []string{"runc", "rtshield", "probe"} {
		if _, err := os.Stat(program(name)); err != nil {
			return nil, fmt.Errorf("%w: `make demo` builds it", err)
		}
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	o.bin = bin
	policy, ledger, err := bundle.Policy(dir, program("runc"))
	if err != nil {
		return nil, err
	}
	s := &stage{
		options: o, dir: dir, ledger: ledger,
		host:   host{root: filepath.Join(dir, "root"), env: environment(policy)},
		rootfs: filepath.Join(dir, "rootfs"),
	}
	if s.online, err = onlineCPUs(); err != nil {
		return nil, err
	}
	if err := bundle.RootFS(s.rootfs, program("probe"), "probe"); err != nil {
		return nil, err
	}
	s.pinned = &way{name: "runc + cpus", runtime: program("runc")}
	s.shield = &way{name: "rtshield", runtime: program("rtshield")}
	s.ways = []*way{{name: "runc", runtime: program("runc")}, s.pinned, s.shield}
	if err := s.makeBundle(s.ways[0], "runc", s.seconds, nil); err != nil {
		return nil, err
	}
	return s, s.makeBundle(s.shield, "rtshield", s.seconds, askForShield)
}

func askForShield(spec *specs.Spec) {
	spec.Annotations = map[string]string{"rtshield.io/class": "fifo"}
}

// makeBundle gives w a bundle of its own. All are equal but for edit.
func (s *stage) makeBundle(w *way, name string, seconds float64, edit func(*specs.Spec)) error {
	w.bundle = filepath.Join(s.dir, "bundle-"+name)
	return bundle.New(w.bundle, s.rootfs, filepath.Join(s.bin, "runc"), func(spec *specs.Spec) {
		spec.Hostname = "demo"
		spec.Process.Args = []string{"/probe", "-seconds", fmt.Sprint(seconds)}
		// Go's runtime would interrupt the probe's loop every 10 ms to let
		// other goroutines run; there are none.
		spec.Process.Env = append(spec.Process.Env, "GODEBUG=asyncpreemptoff=1")
		spec.Linux.CgroupsPath = "/" + s.id(name)
		if edit != nil {
			edit(spec)
		}
	})
}

// id carries our pid: two demos at a time disturb each other, but do not collide.
func (s *stage) id(name string) string { return fmt.Sprintf("rtshield-demo-%d-%s", os.Getpid(), name) }

// rehearse runs rtshield once, shortly and without counting it, to learn which CPU
// it gives: the way in the middle is to run on the same one.
func (s *stage) rehearse(ctx context.Context) error {
	w := &way{name: "rehearsal", runtime: s.shield.runtime}
	if err := s.makeBundle(w, "rehearsal", 0.2, askForShield); err != nil {
		return err
	}
	if err := s.round(ctx, w, 0); err != nil {
		return err
	}
	cpus := w.rounds[0].CPUs
	s.pinned.name += "=" + cpus
	return s.makeBundle(s.pinned, "pinned", s.seconds, func(spec *specs.Spec) {
		if spec.Linux.Resources == nil {
			spec.Linux.Resources = &specs.LinuxResources{}
		}
		spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: cpus}
	})
}

func (s *stage) round(ctx context.Context, w *way, i int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit(),
		fmt.Errorf("%s: the container did not end within %v", w.name, s.limit()))
	defer cancel()
	id := fmt.Sprintf("%s-%d", s.id(filepath.Base(w.bundle)), i)
	r, err := s.run(ctx, w, id, func(cpus cpuset.CPUSet) (err error) {
		if w == s.shield {
			s.reached, err = reaching(cpus)
		}
		return err
	})
	if err != nil {
		return err
	}
	w.rounds = append(w.rounds, r)
	return nil
}

// judge is whether rtshield kept its promise to the container in every round.
func (s *stage) judge() error {
	for _, r := range s.shield.rounds {
		cpus, err := cpuset.Parse(r.CPUs)
		switch {
		case err != nil:
			return err
		case r.Policy != wake.Fifo || r.Priority != 50:
			return fmt.Errorf("rtshield: the container ran under %s, not under FIFO 50", r.PolicyName())
		case cpus.Size() != 1 || s.online.IsSubsetOf(cpus):
			return fmt.Errorf("rtshield: the container might run on CPUs %s, that is not one CPU of its own", r.CPUs)
		case r.Env["RTSHIELD_CPUS"] != r.CPUs:
			return fmt.Errorf("rtshield: RTSHIELD_CPUS is %q, but the container might run on %s",
				r.Env["RTSHIELD_CPUS"], r.CPUs)
		}
	}
	if r := s.reached; r.marked && len(r.movable) > 0 {
		return fmt.Errorf("rtshield: %d movable interrupts could reach its container's CPU", len(r.movable))
	}
	return nil
}

func onlineCPUs() (cpuset.CPUSet, error) {
	raw, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return cpuset.New(), err
	}
	return cpuset.Parse(strings.TrimSpace(string(raw)))
}
