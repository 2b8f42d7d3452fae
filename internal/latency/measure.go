package latency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/latency/workload"
	"github.com/rtshield/rtshield/internal/shield"
)

// Options say what is measured.
type Options struct {
	// Version of rtshield, and the program itself.
	Version, Program string
	// Delegate is the runc that rtshield hands over to; plain runc is the same one.
	Delegate string
	// Cyclictest is its path, without links.
	Cyclictest string
	// Annotations are those of rtshield's container, the class among them.
	Annotations map[string]string
	// Each way is measured Rounds times for Length (whole seconds), with a wake-up every Interval.
	Rounds           int
	Length, Interval time.Duration
	// Load is workload.Builtin, workload.None, or a command.
	Load string
	// Hold keeps all CPUs from sleeping.
	Hold bool
	// Explain tells what rtshield would grant a bundle now.
	Explain func(bundle, root, id string) (*shield.Grant, error)
	// Progress, if not nil, is told what begins, and how much of all rounds is over.
	Progress func(what string, done, all int)
}

// settling is for how long the load runs before anything is measured.
const settling = time.Second

// session is one measurement under way.
type session struct {
	Options
	place
	dir    string
	rootfs string
	mounts []object
	ways   []way
	report *Report
}

// Measure runs all rounds. When ctx ends before, the report has what there is until then, and says so. Whatever happens, no
// container, cgroup, file or process of it stays.
func Measure(ctx context.Context, o Options) (report *Report, err error) {
	dir, err := workDir()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &session{
		Options: o, dir: dir, rootfs: filepath.Join(dir, "rootfs"),
		place: place{root: filepath.Join(dir, "root"), limit: o.Length + starting},
		report: &Report{
			Rtshield: o.Version, Started: time.Now().UTC().Truncate(time.Second), Host: observe(host.System), Delegate: o.Delegate,
			Cyclictest: cyclictestVersion(o.Cyclictest), Interval: o.Interval.Microseconds(), Rounds: o.Rounds,
			Seconds: int64(o.Length / time.Second), Held: o.Hold,
		},
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if o.Hold {
		held, err := holdLatency()
		if err != nil {
			return nil, err
		}
		defer held.Close()
	}
	return s.report, s.underLoad(ctx)
}

// workDir is on a disk where the host has one, so that the load's file is: on many hosts /tmp is not.
func workDir() (string, error) {
	dir, err := os.MkdirTemp("/var/tmp", "rtshield-latency-")
	if err != nil {
		dir, err = os.MkdirTemp("", "rtshield-latency-")
	}
	return dir, err
}

// prepare makes the bundles. Which CPU rtshield will give, explain tells: the way in the middle is to run on the same one.
func (s *session) prepare() error {
	var err error
	if s.mounts, err = makeRoot(s.rootfs, s.Cyclictest); err != nil {
		return err
	}
	delegate := filepath.Base(s.Delegate)
	shielded := way{Way: &Way{Name: "rtshield", Annotations: s.Annotations}, runtime: s.Program}
	shielded.bundle = s.bundle("rtshield")
	b := bundle{dir: shielded.bundle, annotations: s.Annotations, cgroup: s.cgroup("rtshield"), args: []string{s.Cyclictest}}
	if err := b.write(s.rootfs, s.mounts); err != nil {
		return err
	}
	grant, err := s.Explain(b.dir, s.root, s.id("rtshield", 0))
	if err != nil {
		return err
	}
	if grant.Policy == shield.Deadline {
		return fmt.Errorf("class %s is of policy deadline, which cyclictest cannot run under: name one of another policy", grant.Class)
	}
	shielded.grant, shielded.Level = grant, grant.Level
	b.args = s.arguments(grant.Policy, grant.Priority)
	if err := b.write(s.rootfs, s.mounts); err != nil {
		return err
	}
	plain := way{Way: &Way{Name: delegate}, runtime: s.Delegate, bundle: s.bundle("plain")}
	pinned := way{Way: &Way{Name: delegate + " + cpus=" + grant.CPUs.String()}, runtime: s.Delegate, bundle: s.bundle("pinned")}
	ordinary := s.arguments(shield.Other, 0)
	s.ways = []way{plain, pinned, shielded}
	for i := range s.ways {
		s.ways[i].comm = filepath.Base(s.Cyclictest)[:min(15, len(filepath.Base(s.Cyclictest)))] // TASK_COMM_LEN
	}
	return errors.Join(
		bundle{dir: plain.bundle, plain: true, args: ordinary, cgroup: s.cgroup("plain")}.write(s.rootfs, s.mounts),
		bundle{dir: pinned.bundle, plain: true, args: ordinary, cgroup: s.cgroup("pinned"), cpus: grant.CPUs.String()}.write(s.rootfs, s.mounts),
	)
}

func (s *session) arguments(policy shield.Policy, priority int) []string {
	return arguments(s.Cyclictest, s.Interval, s.Length, policy, priority)
}

func (s *session) bundle(name string) string { return filepath.Join(s.dir, "bundle-"+name) }

// id carries our pid: two measurements at a time disturb each other, but do not collide.
func (s *session) id(name string, round int) string {
	return fmt.Sprintf("rtshield-latency-%d-%s-%d", os.Getpid(), name, round)
}

func (s *session) cgroup(name string) string { return "/" + s.id(name, 0) }

// underLoad measures. The load ends before the report is looked at.
func (s *session) underLoad(ctx context.Context) error {
	work, err := workload.Start(s.Load, s.dir)
	if err != nil {
		return err
	}
	defer work.Stop()
	s.report.Load = work.What
	select {
	case <-time.After(settling):
	case <-ctx.Done():
	}
	err = s.rounds(ctx, work)
	if err == nil && ctx.Err() == nil {
		s.report.Cause, err = s.cause(ctx)
	}
	for _, way := range s.ways {
		s.report.Ways = append(s.report.Ways, *way.Way)
	}
	s.report.Interrupted = ctx.Err() != nil
	return err
}

func (s *session) rounds(ctx context.Context, work *workload.Load) error {
	all := s.Rounds * len(s.ways)
	for i := range all {
		if ctx.Err() != nil {
			return nil
		}
		way := s.ways[i%len(s.ways)]
		if s.Progress != nil {
			s.Progress(way.Name, i, all)
		}
		if err := s.round(ctx, way, i); err != nil {
			return err
		}
		if err := work.Running(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) round(ctx context.Context, w way, i int) error {
	out, err := s.run(ctx, w, s.id(filepath.Base(w.bundle), i), w.look)
	if err != nil {
		return err
	}
	h, err := parseHistogram(out)
	if err != nil && ctx.Err() != nil {
		return nil // it was ended before it had begun
	}
	if err == nil {
		w.add(h)
	}
	return err
}

// holdLatency keeps all CPUs from sleeping until it is closed (Documentation/power/pm_qos_interface.rst).
func holdLatency() (*os.File, error) {
	file, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Write(binary.NativeEndian.AppendUint32(nil, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("holding CPUs awake: %w: leave it out", err)
	}
	return file, nil
}
